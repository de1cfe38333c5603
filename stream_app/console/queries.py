"""The SQL behind the page. Every question is an index look-up or a short scan: the store may hold millions of points."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.console.shapes import PaneLog, Row, flat, span_ms

POINTS_MAX = 1_500
"""Points of a curve: more than a screen has pixels for is thinned out here."""

_LAST_CHARACTER = "\U0010ffff"
_POINT = "SELECT time_ms, tags, fields FROM points WHERE measurement = ?"
_NEXT = "SELECT min(series) FROM points WHERE measurement = ? AND series > ?"
_LAST = f"{_POINT} AND series = ? ORDER BY time_ms DESC LIMIT 1"
_TAGGED = " AND json_extract(tags, ?) = ?"
_THINNED = """
SELECT time_ms, tags, fields FROM (
    SELECT *, row_number() OVER (ORDER BY time_ms DESC) AS k FROM points WHERE measurement = ? AND series = ?
) WHERE (k - 1) % ? = 0 ORDER BY time_ms
"""
_PANES = """
SELECT time_ms, json_extract(fields, '$.seen'), json_extract(fields, '$.model_id') FROM points
WHERE measurement = 'windows' AND series = ? AND time_ms > ? ORDER BY time_ms
"""


@contextmanager
def open_store(path: Path) -> Iterator[sqlite3.Connection]:
    """Open read-only, with one picture of the store for all that is asked of it.

    Raises:
        sqlite3.DatabaseError: there is no such file or no table in it yet, or somebody has locked it.
    """
    link = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
    try:
        link.execute("BEGIN")
        yield link
    finally:
        link.close()


class Points:
    """Questions to an open store about one stream. A series is its tags, ``name=value``, joined by commas."""

    def __init__(self, link: sqlite3.Connection, stream: str) -> None:
        self._link, self.stream = link, stream

    def window_series(self, slicing: str, name: str, span: str) -> str:
        """The series of a slice's windows."""
        return f"slice={name},slicing={slicing},span={span},stream={self.stream}"

    def last(self, measurement: str, series: str) -> Row | None:
        """The newest point of a series."""
        row = self._link.execute(_LAST, (measurement, series)).fetchone()
        return flat(*row) if row else None

    def lasts(self, measurement: str, wanted: Callable[[str], bool] = lambda _: True) -> list[Row]:
        """The newest point of each series of a measurement, oldest first."""
        rows = (self.last(measurement, series) for series in self._series(measurement) if wanted(series))
        return sorted(
            (row for row in rows if row and row["stream"] == self.stream), key=lambda row: int(row["time_ms"])
        )

    def newest(self, measurement: str, limit: int, **tags: str) -> list[Row]:
        """The newest points of a measurement with these tags, oldest first."""
        where, values = self._where(tags)
        sql = f"{_POINT}{where} ORDER BY time_ms DESC LIMIT ?"
        return [flat(*row) for row in self._link.execute(sql, (measurement, *values, limit))][::-1]

    def count(self, measurement: str, **tags: str) -> int:
        """How many points of a measurement have these tags."""
        where, values = self._where(tags)
        sql = f"SELECT count(*) FROM points WHERE measurement = ?{where}"  # noqa: S608 - names only, values are bound
        return int(self._link.execute(sql, (measurement, *values)).fetchone()[0])

    def _where(self, tags: dict[str, str]) -> tuple[str, list[str]]:
        pairs = {"stream": self.stream, **tags}
        return _TAGGED * len(pairs), [part for name, value in pairs.items() for part in (f"$.{name}", value)]

    def spans(self, slicing: str, name: str) -> list[str]:
        """Spans of a slice's windows, shortest first."""
        head, tail = f"slice={name},slicing={slicing},span=", f",stream={self.stream}"
        series = self._series("windows", head)
        found = {s.removeprefix(head).removesuffix(tail) for s in series if s.endswith(tail)}
        return sorted(found - {"pane"}, key=span_ms)

    def features(self, slicing: str, name: str, span: str) -> list[tuple[str, Row]]:
        """The newest histogram of each feature of a slice."""
        tail, after, made = self.window_series(slicing, name, span), "", []
        while (series := self._next("pit", after)) is not None:
            feature = series.removeprefix("feature=").split(",slice=", 1)[0]
            row = self.last("pit", f"feature={feature},{tail}")
            if row is not None:
                made.append((feature, row))
            after = f"feature={feature},slice={_LAST_CHARACTER}"  # over the other slices, to the next feature
        return made

    def panes(self, slicing: str, name: str, since_ms: int = -1) -> PaneLog:
        """All panes of a slice after a time, in brief."""
        log = PaneLog()
        for row in self._link.execute(_PANES, (self.window_series(slicing, name, "pane"), since_ms)):
            log.add(*row)
        return log

    def curve(self, slicing: str, name: str, span: str) -> list[Row]:
        """Points of a window series, thinned to a bounded number; the newest one always stays."""
        key = ("windows", self.window_series(slicing, name, span))
        n = self._link.execute("SELECT count(*) FROM points WHERE measurement = ? AND series = ?", key).fetchone()[0]
        step = max(1, -(-n // POINTS_MAX))
        return [flat(*row) for row in self._link.execute(_THINNED, (*key, step))]

    def _series(self, measurement: str, head: str = "") -> Iterator[str]:
        """Series that begin with ``head``: jumps from one to the next instead of reading every point."""
        series = self._next(measurement, head)
        while series is not None and series.startswith(head):
            yield series
            series = self._next(measurement, series)

    def _next(self, measurement: str, after: str) -> str | None:
        found: str | None = self._link.execute(_NEXT, (measurement, after)).fetchone()[0]
        return found
