"""What stands before the time-series server: it lets writes through, or fails as servers and proxies do."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

MODES = ("down", "503", "429", "401", "hang", "late")
"""``down`` closes the connection without a word, ``hang`` says nothing for longer than a write may take, ``late`` lets
the write through and answers only after that."""

HANG_S = 4.0


class Gateway:
    """A server at ``url`` that hands writes on to ``behind``.

    Attributes:
        mode: one of :data:`MODES`, or "" where all is well.
        seen: how often each mode was met.
    """

    def __init__(self, behind: str) -> None:
        self.mode, self.seen = "", dict.fromkeys(MODES, 0)
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body, mode = self.rfile.read(int(self.headers["Content-Length"] or 0)), gateway.mode
                if mode:
                    gateway.seen[mode] += 1
                if mode in ("down", "hang"):
                    time.sleep(HANG_S if mode == "hang" else 0.0)
                    self.close_connection = True
                    return
                status = int(mode) if mode.isdecimal() else gateway._hand_on(behind + self.path, body, self.headers)
                if mode == "late":
                    time.sleep(HANG_S)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @staticmethod
    def _hand_on(url: str, body: bytes, headers: object) -> int:
        names = ("Content-Type", "Content-Encoding", "Authorization")
        kept = {name: value for name in names if (value := headers.get(name))}  # type: ignore[attr-defined]
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, kept), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    @contextmanager
    def open(self) -> Iterator[Gateway]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def exported(server: str) -> set[str]:
    """Every sample that a VictoriaMetrics holds, one text each: series, time and value."""
    urllib.request.urlopen(f"{server}/internal/force_flush", timeout=10).close()
    query = "match[]=%7B__name__!=%22%22%7D&format=__name__,__labels__"
    with urllib.request.urlopen(f"{server}/api/v1/export?{query}", timeout=120) as answer:
        return {sample for line in answer for sample in _samples(line)}


def _samples(line: bytes) -> Iterator[str]:
    """Of the first activations the time is 0, which a VictoriaMetrics takes for now: theirs is left out."""
    found = msgspec.json.decode(line)
    series = msgspec.json.encode(found["metric"], order="sorted").decode()
    is_activation = found["metric"]["__name__"].startswith("activations_")
    for at, value in zip(found["timestamps"], found["values"], strict=True):
        yield f"{series} {'' if is_activation else at} {value!r}"
