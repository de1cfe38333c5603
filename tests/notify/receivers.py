"""Receivers on real sockets: they keep what they were sent, and answer as they are told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Incident, StrangeEvents
from schemas.records import Health, record_id
from stream_app.notify.notices import Notice, notice_of

A, B = (f"{letter * 8}-0000-5000-8000-000000000000" for letter in "ab")
"""Ids of two incidents."""


@dataclass(frozen=True)
class Sent:
    """A request: where it went, its headers (in lower case) and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """How a request is answered; ``hangs`` waits until the receiver is closed."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


class Receiver:
    """An HTTP server that answers with what ``reply`` makes of a request; the replies in ``first`` come before it.

    Attributes:
        sent: what it was sent, in order.
    """

    def __init__(self, reply: Callable[[Sent], Reply] = lambda _: Reply()) -> None:
        self.sent, self.first, self.reply = list[Sent](), list[Reply](), reply
        self._changed, self._closing = threading.Condition(), threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed in the middle of it
                    self.close_connection = True
                    return
                reply = receiver._take(Sent(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if reply.hangs:
                    receiver._closing.wait()
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                return  # the other side has gone

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _take(self, sent: Sent) -> Reply:
        with self._changed:
            self.sent.append(sent)
            reply = self.first.pop(0) if self.first else self.reply(sent)
            self._changed.notify_all()
        return reply

    def wait(self, done: Callable[[list[Sent]], bool], timeout_s: float = 60.0) -> list[Sent]:
        """Wait until what was sent is so; gives it."""
        with self._changed:
            assert self._changed.wait_for(lambda: done(self.sent), timeout_s), [each.body[:200] for each in self.sent]
            return list(self.sent)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def slack_like(sent: Sent) -> Reply:
    """As ``chat.postMessage`` answers: a new ``ts`` for each message that it has not had."""
    return Reply(body=json.dumps({"ok": True, "channel": "C1", "ts": f"1.{sent.json['client_msg_id'][:6]}"}).encode())


def told(record: Incident | StrangeEvents | Health, key: str = "") -> Notice:
    """The notice of a record as it comes from the topic."""
    message = message_of(record, key)
    notice = notice_of(record, message.value, message.headers, "s.signals/0@0")
    assert notice is not None
    return notice


def message_of(record: Incident | StrangeEvents | Health, key: str = "") -> Any:
    """The message on the topic."""
    number = str(getattr(record, "number", ""))
    name = key or record_id("said", getattr(record, "id", "health"), number)
    at_ms = getattr(record, "pane_end_ms", getattr(record, "since_ms", 0))
    return encode_event(Envelope(record, name, f"/driftflow/{record.stream}/judge", at_ms))


def wait_for(done: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Poll what has no event to wait for."""
    until_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < until_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)
