"""Serves the page and its questions: what is there, what of one slice, what of one incident."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from stream_app.console.acting import Desk
from stream_app.console.answers import Store
from stream_app.console.asking import asking
from stream_app.console.live import Live
from stream_app.console.monitoring import Monitoring
from stream_app.console.posting import answering
from stream_app.errors import DriftflowError

_STATIC = Path(__file__).parent / "static"
_STRANGE_HOST = "Unknown host name: ask by address or localhost, or add the name to console.names.\n"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Scripts and styles come from here alone; nothing is inline."""


def create_app(store: Store, names: Collection[str] = (), desk: Desk | None = None) -> ASGIApp:
    """The application.

    Args:
        store: what to show; its file may come into being later.
        names: names, beside localhost, that the page may be asked for by: others are refused, addresses are not.
        desk: by which people answer on the page; without one it only shows.
    """

    def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        allowed = _is_allowed(request.headers.get("host", ""), {"localhost", *names})
        response = await call_next(request) if allowed else PlainTextResponse(_STRANGE_HOST, status_code=400)
        response.headers.update(_HEADERS)
        return response

    monitoring = Monitoring(store)
    app = Starlette(
        routes=[
            Route("/", page),
            *asking(store, Live(desk.config) if desk else None),
            *answering(store, desk),
            *monitoring.routes(),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
    )
    return monitoring.counted(app)


def _is_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an address or one of our names.

    A page elsewhere can point a name of its own at this machine and then read what we say to that name (DNS
    rebinding). It cannot do so with an address, so those are always taken.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in names or bool(ip_address(name))
    except ValueError:
        return False


def _server(store: Store, host: str, names: Collection[str], desk: Desk | None) -> uvicorn.Server:
    app = create_app(store, {host.lower(), socket.gethostname().lower(), *(name.lower() for name in names)}, desk)
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already: nobody is told of an address before.

    Raises:
        DriftflowError: the port is taken or not allowed, or the host is none of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        text = getattr(error, "strerror", None) or str(error)
        # asyncio's and socket's own errors repeat the address in brackets; it stands in the sentence already.
        reason = text.partition(" (while")[0].lower()
        raise DriftflowError(
            f"the console cannot listen on {host}:{port}, {reason}: name another port (--port, console.port) or host "
            "(console.host)"
        ) from error


def serve(store: Store, *, host: str, port: int, names: Collection[str] = (), desk: Desk | None = None) -> None:
    """Serve in the foreground until Ctrl-C.

    Raises:
        NotReadableError: the store's file is no database, or may not be read.
        DriftflowError: nobody can listen there.
    """
    store.check()
    with _listen(host, port) as listener:
        if not store.path.exists():
            print(f"{store.path} does not exist yet: the page fills as soon as a worker writes it")  # noqa: T201
        url = _url(host, listener)
        print(f"console of {store.stream} at {url} (Ctrl-C stops it)")  # noqa: T201
        if desk:
            print(desk.way_in(url))  # noqa: T201
        _server(store, host, names, desk).run(sockets=[listener])


@dataclass(frozen=True, slots=True)
class Handle:
    """A console that runs in a thread."""

    url: str
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        """Stop it and wait."""
        self.server.should_exit = True
        self.thread.join(10)


def start_in_thread(
    store: Store, *, port: int = 0, host: str = "127.0.0.1", names: Collection[str] = (), desk: Desk | None = None
) -> Handle:
    """Serve in a thread of this process.

    Raises:
        DriftflowError: nobody can listen there.
    """
    listener, server = _listen(host, port), _server(store, host, names, desk)
    url = _url(host, listener)
    thread = threading.Thread(target=_run, args=(server, listener), name="console", daemon=True)
    thread.start()
    return Handle(url, server, thread)


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with listener:
        server.run(sockets=[listener])
