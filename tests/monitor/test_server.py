"""The monitor's server: answers whatever the rest of the process does, for few clients and a bounded time each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from stream_app.errors import DriftflowError
from stream_app.monitor import server
from stream_app.monitor.server import CLIENTS_MAX, Answer, Monitor, Page, probe


def fails(_: str) -> Answer:
    raise LookupError("no such thing")


PAGES: dict[str, Page] = {
    "/livez": lambda _: probe([]),
    "/readyz": lambda _: probe(["no model", "no broker"]),
    "/accept": lambda accept: Answer(200, "text/plain", accept.encode()),
    "/fails": fails,
}


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor("127.0.0.1", 0, PAGES, "monitor.worker_port") as running:
        yield running


def ask(monitor: Monitor, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    link = HTTPConnection(urlsplit(monitor.url).netloc, timeout=10)
    try:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def test_a_probe_says_yes_or_gives_its_reasons(monitor: Monitor) -> None:
    assert ask(monitor, "/livez") == (200, "ok\n")
    assert ask(monitor, "/readyz?verbose") == (503, "no model\nno broker\n")
    assert ask(monitor, "/livez", "HEAD") == (200, "")
    assert ask(monitor, "/accept", Accept="x/y") == (200, "x/y")


def test_what_is_not_there_or_fails_is_said_and_the_next_is_answered(monitor: Monitor) -> None:
    assert ask(monitor, "/") == (404, "No such page; there are /livez /readyz /accept /fails\n")
    status, body = ask(monitor, "/fails")
    assert (status, body[:44]) == (500, "an error that nobody foresaw: LookupError: n")
    assert ask(monitor, "/livez", "POST")[0] == 501
    assert ask(monitor, "/livez") == (200, "ok\n")


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 400), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:9", 200), ("[", 400)]
)
def test_a_name_that_somebody_pointed_at_this_machine_is_refused(monitor: Monitor, host: str, status: int) -> None:
    assert ask(monitor, "/livez", Host=host)[0] == status


def test_clients_that_say_nothing_keep_nobody_out(monitor: Monitor) -> None:
    address = (urlsplit(monitor.url).hostname, urlsplit(monitor.url).port)
    silent = [socket.create_connection(address, timeout=10) for _ in range(CLIENTS_MAX + 4)]
    for client in silent[CLIENTS_MAX:]:
        client.sendall(b"GET /livez HTTP/1.0\r\n")  # half of a request
    assert ask(monitor, "/livez") == (200, "ok\n")
    assert silent[0].recv(1) == b"", "the one that was there for longest has made room"
    for client in silent:
        client.close()


def test_a_client_that_stays_silent_is_let_go(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CLIENT_S", 0.05)
    with socket.create_connection((urlsplit(monitor.url).hostname, urlsplit(monitor.url).port), timeout=10) as client:
        assert client.recv(1) == b""


def test_the_port_is_free_again_afterwards() -> None:
    with Monitor("127.0.0.1", 0, PAGES, "p") as first:
        port = urlsplit(first.url).port or 0
        wanted = "cannot be served at 127.0.0.1:.*, address already in use.*name another port .monitor.worker_port"
        with pytest.raises(DriftflowError, match=wanted):
            Monitor("127.0.0.1", port, PAGES, "monitor.worker_port")
    with Monitor("127.0.0.1", port, PAGES, "p") as again:
        assert ask(again, "/livez")[0] == 200


def test_a_thread_that_ends_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, died = list[str](), threading.Event()

    def hook(failed: threading.ExceptHookArgs) -> None:
        heard.append(f"{failed.thread.name if failed.thread else ''}: {failed.exc_value}")
        died.set()

    monkeypatch.setattr(threading, "excepthook", hook)  # the guard's, in a process
    with Monitor("127.0.0.1", 0, PAGES, "p") as running:
        running._server.shutdown()  # as if its loop had come to an end
        assert died.wait(10)
    assert heard == ["monitor: it ended although nobody had told it to"]


def test_a_loop_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hangs.set()
        go_on.wait(30)

    monkeypatch.setattr(server._Server, "service_actions", hang)
    began_s = time.monotonic()
    with Monitor("127.0.0.1", 0, PAGES, "p") as running:
        assert hangs.wait(10)
    assert time.monotonic() - began_s < 10.0
    go_on.set()
    running._thread.join(10)
