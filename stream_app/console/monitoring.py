"""What the console tells of itself, at its own port: whether it is alive, what there is to show, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_app.console.answers import NotReadableError, Store
from stream_app.monitor.exposition import exposed, version
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import PAGES, Labels
from stream_app.monitor.server import Answer, Page, probe

_OTHER = "other"


class Monitoring:
    """The pages, and a count of all requests.

    Args:
        store: what the console shows.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._meter = store, Meter()

    def routes(self) -> list[Route]:
        """Of probes and metrics."""
        pages: dict[str, Page] = {
            "/livez": lambda _: probe([]),
            "/readyz": lambda _: probe(self.not_ready()),
            "/metrics": self._metrics,
        }
        return [Route(path, _answering(page)) for path, page in pages.items()]

    def not_ready(self) -> list[str]:
        """Why there is nothing to show; empty where there is."""
        try:
            self._store.trouble()
        except NotReadableError as error:
            return [str(error)]
        return []

    def _metrics(self, accept: str) -> Answer:
        written_s, size = self._store.written()
        values: dict[str, dict[Labels, float]] = {
            "driftflow_info": {(version(), "console", self._store.stream): 1.0},
            "driftflow_ready": {(): float(not self.not_ready())},
            "driftflow_console_store_age_seconds": {} if written_s is None else {(): max(time.time() - written_s, 0.0)},
            "driftflow_console_store_bytes": {(): float(size)},
            PAGES: self._meter.counts(PAGES),
        }
        body, kind = exposed(values, {}, accept)
        return Answer(200, kind, body)

    def counted(self, app: Starlette) -> ASGIApp:
        """The app with its requests counted, by path and status; paths of no route are one: anybody may ask for any."""
        paths = [route.path for route in app.routes if isinstance(route, Route | Mount)]

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._meter.count(PAGES, _known(scope["path"], paths), str(message["status"]))
                await send(message)

            await app(scope, receive, note)

        return run


def _known(path: str, paths: list[str]) -> str:
    return next((known for known in paths if path == known or (path.startswith(f"{known}/") and known)), _OTHER)


def _answering(page: Page) -> Callable[[Request], Response]:
    """An endpoint, which Starlette runs in a thread: the event loop waits for no store."""

    def answer(request: Request) -> Response:
        made = page(request.headers.get("accept", ""))
        return Response(made.body, made.status, media_type=made.kind)

    return answer
