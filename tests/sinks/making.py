"""Points, and servers that behave badly on demand."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from flowlib.table import DAY_MS
from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected
from stream_app.stages.outputs import Field, Point


def point(n: int, slice_: str = "a", **fields: Field) -> Point:
    """The n-th point of a series."""
    return Point(
        "windows", (("slice", slice_), ("stream", "s")), 1_700_000_000_000 + n, tuple((fields or {"x": n}).items())
    )


def set_aside(path: Path) -> list[tuple[Point, str]]:
    """What a spool's file keeps of the points that no sink will take, with the reasons."""
    link = sqlite3.connect(path)
    try:
        rows = link.execute("SELECT point, reason FROM set_aside ORDER BY id").fetchall()
    finally:
        link.close()
    return [(msgspec.msgpack.decode(blob, type=Point), reason) for blob, reason in rows]


def insert(link: sqlite3.Connection, rows: Iterable[tuple[Any, ...]], kind: str = "REPLACE") -> None:
    """Write rows ``(measurement, series, time_ms, tags, fields)`` to an embedded store, whatever is in them.

    Args:
        link: the open store.
        rows: what its view ``points`` shows then.
        kind: what becomes of rows that are there or cannot be: ``REPLACE`` or ``IGNORE``.
    """
    for measurement, series, time_ms, tags, fields in rows:
        if measurement != "windows":
            row = (measurement, series, time_ms, tags, fields)
            link.execute(f"INSERT OR {kind} INTO others VALUES (?, ?, ?, ?, ?)", row)
            continue
        link.execute("INSERT OR IGNORE INTO series (series, tags) VALUES (?, ?)", (series, tags))
        if kind == "REPLACE":
            link.execute("UPDATE series SET tags = ? WHERE series = ?", (tags, series))
        for (number,) in link.execute("SELECT id FROM series WHERE series = ?", (series,)).fetchall():
            link.execute(f"INSERT OR {kind} INTO windows VALUES (?, ?, ?)", (time_ms, number, fields))
            if isinstance(time_ms, int | float):
                link.execute("INSERT OR IGNORE INTO window_days VALUES (?, ?)", (number, time_ms // DAY_MS))


class RecordingSink:
    """Keeps what it is given; refuses what it is told to refuse."""

    def __init__(self, is_bad: Callable[[Point], bool] = lambda _: False) -> None:
        self.taken: dict[tuple[object, ...], Point] = {}
        self.writes = 0
        self.away = 0
        self._is_bad = is_bad

    def write(self, batch: Sequence[Point]) -> None:
        self.writes += 1
        if self.away:
            self.away -= 1
            raise SinkError("the server is away")
        if any(map(self._is_bad, batch)):
            raise Rejected("a bad point")
        self.taken.update({(p.measurement, p.tags, p.time_ms): p for p in batch})

    def close(self) -> None: ...


class ScriptedServer:
    """An HTTP server that answers the write API with the given statuses in turn, then with 204.

    Args:
        statuses: the answers.
        body: of each answer that is no 204.
    """

    def __init__(self, statuses: Sequence[int], body: bytes = b"{}") -> None:
        self.statuses, self.bodies = list(statuses), list[bytes]()
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                script.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                status = script.statuses.pop(0) if script.statuses else 204
                said = b"" if status == 204 else body
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
