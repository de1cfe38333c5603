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

from stream_app.console.answers import Store
from stream_app.errors import DriftflowError

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Scripts and styles come from here alone; nothing is inline."""


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
        found = source.overview()
        # Nothing found may mean locked: without a version the page asks again, whether or not the file changes.
        return JSONResponse({"overview": found, "stream": stream}, headers={"ETag": version} if found else {})

    def detail(request: Request) -> Response:
        wanted = request.query_params
        found = source.detail(wanted.get("slicing", ""), wanted.get("slice", ""), wanted.get("span", ""))
        if found is None:
            return JSONResponse({"error": "no such slice, or nothing stored of it yet"}, status_code=404)
        return JSONResponse(found)

    def alerts(_: Request) -> Response:
        return JSONResponse(source.alerts())

    def models(_: Request) -> Response:
        return JSONResponse(source.models())

    def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/overview", overview),
            Route("/api/slice", detail),
            Route("/api/alerts", alerts),
            Route("/api/models", models),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", *hosts]),
            Middleware(BaseHTTPMiddleware, dispatch=_add_headers),
        ],
    )


async def _add_headers(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _server(store: Path, stream: str, host: str, port: int) -> uvicorn.Server:
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - whoever asks for that is known by names we cannot know
    app = create_app(store, stream, ("*",) if everywhere else (host, f"[{host}]"))
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off", ws="none"))


def serve(store: Path, stream: str, *, host: str, port: int) -> None:
    """Serve in the foreground until Ctrl-C."""
    server = _server(store, stream, host, port)
    if not store.exists():
        print(f"{store} does not exist yet: the page fills as soon as a worker writes it")  # noqa: T201
    print(f"console of {stream} at {_url(host, port)} (Ctrl-C stops it)")  # noqa: T201
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
    return Handle(_url(host, bound), server, thread)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(server: uvicorn.Server) -> None:
    try:
        server.run()
    except SystemExit:
        return  # uvicorn's way to say that it cannot listen; the caller notices
