"""Serves the page and its two questions: what is there, and what of one slice."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stream_app.console.queries import Store
from stream_app.errors import DriftflowError

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Inline style attributes are uPlot's; scripts come from here alone."""


def create_app(store: Path, stream: str, hosts: tuple[str, ...] = ()) -> Starlette:
    """The application.

    Args:
        store: the SQLite sink's file; it may come into being later.
        stream: which stream to show.
        hosts: names, beside localhost, that the page may be asked for by: others are refused (DNS rebinding).
    """
    source = Store(store, stream)

    def overview(request: Request) -> Response:
        version = f'"{source.version()}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"ETag": version})
        return JSONResponse({"overview": source.overview(), "stream": stream}, headers={"ETag": version})

    def detail(request: Request) -> Response:
        wanted = request.query_params
        found = source.detail(wanted.get("slicing", ""), wanted.get("slice", ""), wanted.get("span", ""))
        if found is None:
            return JSONResponse({"error": "no such slice, or nothing stored of it yet"}, status_code=404)
        return JSONResponse(found)

    def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/overview", overview),
            Route("/api/slice", detail),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "testserver", *hosts]),
            Middleware(BaseHTTPMiddleware, dispatch=_add_headers),
        ],
    )


async def _add_headers(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _server(store: Path, stream: str, host: str, port: int) -> uvicorn.Server:
    app = create_app(store, stream, (host,) if host not in ("0.0.0.0", "::") else ("*",))  # noqa: S104
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off", ws="none"))


def serve(store: Path, stream: str, *, host: str, port: int) -> None:
    """Serve in the foreground until Ctrl-C."""
    server = _server(store, stream, host, port)
    if not store.exists():
        print(f"{store} does not exist yet: the page fills as soon as a worker writes it")  # noqa: T201
    print(f"console of {stream} at http://{host}:{port} (Ctrl-C stops it)")  # noqa: T201
    server.run()


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


def start_in_thread(store: Path, stream: str, *, port: int = 0, host: str = "127.0.0.1") -> Handle:
    """Serve in a thread of this process.

    Raises:
        DriftflowError: the port is taken.
    """
    server = _server(store, stream, host, port)
    thread = threading.Thread(target=_run, args=(server,), name="console", daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise DriftflowError(f"the console cannot listen on {host}:{port}: is the port taken?")
        time.sleep(0.02)
    bound = server.servers[0].sockets[0].getsockname()[1]
    return Handle(f"http://{host}:{bound}", server, thread)


def _run(server: uvicorn.Server) -> None:
    try:
        server.run()
    except SystemExit:
        return  # uvicorn's way to say that it cannot listen; the caller notices
