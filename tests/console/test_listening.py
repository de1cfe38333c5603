"""Nobody is told of an address that is not served."""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream_app.console import server
from stream_app.console.answers import NotReadableError, Store
from stream_app.errors import DriftflowError
from tests.console.storing import write_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write_store(tmp_path / "store.sqlite", panes=8)
    return Store(tmp_path / "store.sqlite", "beijing-air")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def refused(store: Store, capsys: pytest.CaptureFixture[str], host: str, port: int, why: str) -> None:
    """Both ways of serving end in a sentence, and nothing is printed as if it were served."""
    wanted = f"the console cannot listen on {re.escape(host)}:{port}, {why}: name another port .* or host"
    for start in (server.serve, server.start_in_thread):
        with pytest.raises(DriftflowError, match=wanted):
            start(store, host=host, port=port)
    assert capsys.readouterr() == ("", "")


def test_a_port_that_is_taken(store: Store, capsys: pytest.CaptureFixture[str], taken: int) -> None:
    refused(store, capsys, "127.0.0.1", taken, "address already in use")


def test_a_host_that_is_not_here(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    refused(store, capsys, "192.0.2.1", 0, "cannot assign requested address")
    refused(store, capsys, "no-such-host.invalid", 0, ".*(not known|resolution|resolve).*")
    refused(store, capsys, "x" * 70 + ".example", 0, ".*idna.*")


def test_a_port_that_is_not_allowed(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Refusing)
    refused(store, capsys, "127.0.0.1", 80, "permission denied")


def test_two_consoles_cannot_both_be_told_of_one_port(store: Store) -> None:
    """A port is taken from the moment that the first one speaks of it, not from its first request."""
    first = server.start_in_thread(store)
    try:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(DriftflowError, match="address already in use"):
            server.start_in_thread(store, port=port)
        assert httpx.get(f"{first.url}/api/overview", trust_env=False).status_code == 200
    finally:
        first.stop()


def test_what_is_printed_is_served(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    class Server:
        should_exit = False

        def run(self, sockets: list[socket.socket]) -> None:
            url = capsys.readouterr().out.split()[4]
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5):
                asked.append(sockets[0].getsockname()[1])

    monkeypatch.setattr(server, "_server", lambda *_: Server())
    server.serve(store, host="127.0.0.1", port=0)
    assert len(asked) == 1


def test_an_address_of_version_six(store: Store) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no address of version six: {error}")
    handle = server.start_in_thread(store, host="::1")
    try:
        assert handle.url.startswith("http://[::1]:")
        assert httpx.get(f"{handle.url}/", trust_env=False).status_code == 200
    finally:
        handle.stop()
    assert "console" not in [thread.name for thread in threading.enumerate()]


def test_a_store_that_will_never_be_one_is_said_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, made in (("folder", Path.mkdir), ("garbage", lambda path: path.write_bytes(b"no database" * 99))):
        made(tmp_path / name)
        with pytest.raises(NotReadableError, match=f"{tmp_path / name} cannot be read: "):
            server.serve(Store(tmp_path / name, "s"), host="127.0.0.1", port=0)
    assert capsys.readouterr().out == ""
