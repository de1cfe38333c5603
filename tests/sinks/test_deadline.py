"""A call to a server ends within its time in all, and so does its thread, whatever the server does."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stream_app.config.types import Duration
from stream_app.errors import SinkError
from stream_app.sinks import make_sink
from stream_app.sinks.deadline import Deadline, Sockets
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.influx import InfluxSink
from stream_app.sinks.spool import Spool
from tests.sinks.making import ScriptedServer, point
from tests.sinks.slow_servers import Behaviour, SlowServer, deaf, silent, trickling
from tests.sinks.test_stores import config_of

Start = Callable[[Behaviour], SlowServer]
BYTES = b"0123456789" * 100_000
"""More than the buffers of a socket take without anybody reading."""


@pytest.fixture
def start() -> Iterator[Start]:
    servers = list[SlowServer]()

    def run(behaviour: Behaviour) -> SlowServer:
        servers.append(SlowServer(behaviour))
        return servers[-1]

    yield run
    for server in servers:
        server.close()


def sink_of(folder: Path, url: str, timeout_ms: int = 400) -> InfluxSink:
    return InfluxSink(config_of(folder, kind="influx", url=url, timeout=Duration(timeout_ms)))


def calls_under_way() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "call to a sink"]


ANSWERS = {
    "never answers": deaf,
    "never reads": silent,
    "one byte of a header at a time": trickling(b"HTTP/1.1 204 No Content\r\nX-Slow: ", 0.05),
    "one header after the other": trickling(b"HTTP/1.1 204", 0.05),
    "one byte of the body at a time": trickling(b"HTTP/1.1 400 Bad\r\nContent-Length: 100000\r\n\r\n", 0.05),
    "a body without an end": trickling(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n", 0.05),
    "an interim answer after the other": trickling(b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1", 0.05),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_write_ends_in_time_and_leaves_no_thread(tmp_path: Path, start: Start, answer: str, scheme: str) -> None:
    """With https these are handshakes that never end: bytes of no TLS, or none."""
    server = start(ANSWERS[answer])
    sink = sink_of(tmp_path, f"{scheme}://{server.address}")
    began = time.monotonic()
    with pytest.raises(SinkError, match=r"has not answered within 0\.4 s in all|cannot be reached"):
        sink.write([point(1, x=BYTES.decode())])
    assert time.monotonic() - began < 5
    with pytest.raises(SinkError, match=r"has not answered|cannot be reached"):
        sink.write([point(1)])
    assert calls_under_way() == []
    sink.close()
    assert server.connections >= 2, "each try is a new one"


def test_a_tls_handshake_that_trickles_ends_in_time(tmp_path: Path, start: Start) -> None:
    # The head of a handshake record of 16 KB: the other side waits for the rest.
    server = start(trickling(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", 0.05))
    sink = sink_of(tmp_path, f"https://{server.address}")
    with pytest.raises(SinkError, match="has not answered within"):
        sink.write([point(1)])
    assert calls_under_way() == []
    sink.close()


@pytest.mark.parametrize("answer", ["never answers", "one byte of a header at a time"])
def test_the_question_for_the_retention_ends_in_time(tmp_path: Path, start: Start, answer: str) -> None:
    server = start(ANSWERS[answer])
    config = config_of(tmp_path, kind="influx", url=f"http://{server.address}", timeout=Duration(300))
    began = time.monotonic()
    sink = make_sink(config)
    assert time.monotonic() - began < 5
    sink.close()
    assert calls_under_way() == []


def test_an_answer_that_makes_no_sense_says_nothing_about_the_retention(tmp_path: Path, start: Start) -> None:
    def answer(link: socket.socket, closing: threading.Event) -> None:
        link.recv(65_536)
        body = b'{"buckets": [{"name": "driftflow", "retentionRules": [{"everySeconds": "soon"}]}]}'
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        link.sendall(body)
        closing.wait()

    sink = sink_of(tmp_path, f"http://{start(answer).address}")
    assert sink.retention_s() is None
    sink.close()


def test_a_name_that_is_never_resolved_costs_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, asked = threading.Event(), list[str]()

    def hanging(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        resolve.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr("stream_app.sinks.deadline._GRACE_S", 0.05)
    sink = sink_of(tmp_path, "http://influx.example:8086", 100)
    with pytest.raises(SinkError, match="has not answered within"):
        sink.write([point(1)])
    for _ in range(5):
        with pytest.raises(SinkError, match="an earlier call still hangs"):
            sink.write([point(1)])
    (thread,) = calls_under_way()
    assert asked == ["influx.example"]
    resolve.set()
    thread.join(10)
    with pytest.raises(SinkError, match="cannot be reached"):
        sink.write([point(1)])
    assert len(asked) == 2, "it is tried again once the thread has ended"
    sink.close()


def test_a_call_that_was_given_up_sends_nothing_when_its_name_is_resolved_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, resolve, original = ScriptedServer([]), threading.Event(), socket.getaddrinfo

    def late(*args: object, **options: object) -> object:
        resolve.wait(60)
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", late)
    monkeypatch.setattr("stream_app.sinks.deadline._GRACE_S", 0.05)
    sink = sink_of(tmp_path, server.url.replace("127.0.0.1", "localhost"), 100)
    with pytest.raises(SinkError, match="has not answered within"):
        sink.write([point(1)])
    (thread,) = calls_under_way()
    resolve.set()
    thread.join(10)
    assert not thread.is_alive()
    assert server.bodies == []
    sink.close()
    server.close()


def test_a_connection_is_kept_from_call_to_call_and_can_still_be_given_up(tmp_path: Path, start: Start) -> None:
    server = start(_answering(3))
    sink = sink_of(tmp_path, f"http://{server.address}")
    for n in range(3):
        sink.write([point(n)])
    assert server.connections == 1
    with pytest.raises(SinkError, match="has not answered within"):
        sink.write([point(4)])
    assert server.connections == 1
    assert calls_under_way() == []
    sink.close()


def _answering(times: int) -> Behaviour:
    """Answers some requests as it should, and trickles from then on."""

    def serve(link: socket.socket, closing: threading.Event) -> None:
        reader = link.makefile("rb")
        for _ in range(times):
            length = 0
            while (line := reader.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)
            link.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        reader.close()
        trickling(b"HTTP/1.1 204 ", 0.05)(link, closing)

    return serve


def test_a_server_that_is_no_influxdb_takes_no_points(tmp_path: Path) -> None:
    """A proxy that wants a login answers 200 with a page."""
    server = ScriptedServer([200])
    sink = sink_of(tmp_path, server.url, 5_000)
    with pytest.raises(SinkError, match="answered 200 where InfluxDB answers 204"):
        sink.write([point(1)])
    sink.write([point(1)])
    sink.close()
    server.close()


def test_a_drainer_goes_on_when_a_server_that_trickled_is_itself_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = ScriptedServer([])
    slow = [True]

    def serve(link: socket.socket, closing: threading.Event) -> None:
        if slow[0]:
            ANSWERS["one byte of a header at a time"](link, closing)
        else:
            _forward(link, good.url)

    server = SlowServer(serve)
    spool = Spool(tmp_path / "s.sqlite", 1_000)
    spool.append([point(n) for n in range(10)])
    drainer = Drainer(spool, sink_of(tmp_path, f"http://{server.address}", 700))
    with caplog.at_level(logging.WARNING):
        drainer.start()
        assert not drainer.drain(1.5)
    assert drainer.state.alive
    assert "has not answered within 0.7 s" in drainer.state.error
    assert len(spool) == 10
    slow[0] = False
    assert drainer.drain(30)
    drainer.stop()
    assert len(good.bodies) == 1
    spool.close()
    server.close()
    good.close()


def _forward(link: socket.socket, url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    link.settimeout(0.1)
    with socket.create_connection((host, int(port))) as other:
        other.settimeout(5)
        try:
            while data := link.recv(65_536):
                other.sendall(data)
        except TimeoutError:
            pass
        link.sendall(other.recv(65_536))


def test_stopping_while_a_server_trickles_ends_in_time(tmp_path: Path, start: Start) -> None:
    server = start(ANSWERS["one byte of a header at a time"])
    spool = Spool(tmp_path / "s.sqlite", 1_000)
    spool.append([point(1)])
    drainer = Drainer(spool, sink_of(tmp_path, f"http://{server.address}", 3_000))
    drainer.start()
    while not server.connections:
        assert drainer.state.alive
    began = time.monotonic()
    drainer.drain(0.1)
    drainer.stop(0.2)
    assert time.monotonic() - began < 2.5, "before the write's own time is over"
    spool.close()
    drainer._thread.join(10)
    again = Spool(tmp_path / "s.sqlite", 1_000)
    assert len(again) == 1
    again.close()


def test_a_result_and_an_error_come_through() -> None:
    deadline = Deadline("the server", 5.0, Sockets())
    assert deadline.run(lambda: 7) == 7

    def fails() -> Sequence[int]:
        raise TimeoutError("of the call's own")

    with pytest.raises(TimeoutError, match="of the call's own"):
        deadline.run(fails)
