"""A small HTTP server in a thread of its own: ``/livez``, ``/readyz``, ``/metrics``.

It reads what the process has written down of itself, so that it waits for neither the event loop nor a lock that the
hot path holds. Few clients at once, each for a bounded time: whoever comes when there is no room takes the place of the
one that has been there for longest.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from stream_app.errors import DriftflowError
from stream_app.guard import described

log = logging.getLogger(__name__)

CLIENTS_MAX = 16
CLIENT_S = 5.0
"""How long a client may stay silent."""
_POLL_S = 0.1
_PAUSE_S = 0.2
_LEAVE_S = 0.5
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A page: HTTP status, content type, body."""

    status: int
    kind: str
    body: bytes


def probe(reasons: Collection[str]) -> Answer:
    """The answer of a probe: 200, or 503 with a reason a line."""
    text = "".join(f"{reason}\n" for reason in reasons) or "ok\n"
    return Answer(503 if reasons else 200, "text/plain; charset=utf-8", text.encode())


Page = Callable[[str], Answer]
"""Takes the Accept header."""


class Monitor:
    """Serves pages until it is left.

    Args:
        host, port: where to listen; port 0 is any free one.
        pages: path to what makes the page. Called in a thread of its own for each request.
        setting: name of the setting of the port, for an error.

    Raises:
        DriftflowError: nobody can listen there.
    """

    def __init__(self, host: str, port: int, pages: dict[str, Page], setting: str) -> None:
        self._server = _Server(_listen(host, port, setting), pages)
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.socket.getsockname()[1]}"
        self._leaving = False

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        threading.Thread(target=self._server.shutdown, daemon=True).start()  # it would wait for a loop that hangs
        self._thread.join(_LEAVE_S)
        self._server.server_close()  # a shutdown alone keeps the port

    def _run(self) -> None:
        """An exception that leaves it is the guard's: nobody would miss the answers of a thread that has ended."""
        self._server.serve_forever(_POLL_S)
        if not self._leaving:
            raise DriftflowError("it ended although nobody had told it to")


def _listen(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=64)
    except (OSError, UnicodeError) as error:
        why = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0].lower()
        raise DriftflowError(
            f"probes and metrics cannot be served at {host}:{port}, {why}: name another port ({setting}; 0 is any free "
            "one) or host (monitor.host), or set monitor.enabled = false"
        ) from error


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, pages: dict[str, Page]) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.pages = listener, pages
        host = listener.getsockname()[0]
        self.is_local = ip_address(host.partition("%")[0]).is_loopback
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, None] = {}

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            client, address = super().get_request()
        except OSError:
            time.sleep(_PAUSE_S)  # no descriptor is free, say: asked again at once it would be a busy loop
            raise
        client.settimeout(CLIENT_S)
        with self._lock:
            self._clients[client] = None
            crowded = next(iter(self._clients)) if len(self._clients) > CLIENTS_MAX else None
        if crowded is not None:
            with contextlib.suppress(OSError):
                crowded.shutdown(socket.SHUT_RDWR)  # its thread closes it
        return client, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or stays silent, is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "driftflow", ""

    def do_GET(self) -> None:
        """One page."""
        self._answer(self._page())

    do_HEAD = do_GET

    def _page(self) -> Answer:
        if self.server.is_local and not _is_local(self.headers.get("Host", "")):
            # A page elsewhere may have pointed a name of its own at this machine (DNS rebinding).
            return Answer(400, "text/plain", b"Unknown host name: ask by address or localhost.\n")
        page = self.server.pages.get(urlsplit(self.path).path)
        if page is None:
            paths = " ".join(self.server.pages)
            return Answer(404, "text/plain", f"No such page; there are {paths}\n".encode())
        try:
            return page(self.headers.get("Accept", ""))
        except Exception as error:
            log.warning("%s could not be answered: %s", self.path.split("?")[0], described(error))
            return Answer(
                500, "text/plain; charset=utf-8", f"an error that nobody foresaw: {described(error)}\n".encode()
            )

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Nobody reads them."""


def _is_local(host: str) -> bool:
    """Whether a Host header is an address, localhost, or none."""
    try:
        name = urlsplit(f"//{host}").hostname or "localhost"
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
