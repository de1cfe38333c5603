"""The SQL behind the page. Every question is a bounded number of index look-ups: there may be millions of points."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.bounds import MILLIS_MAX
from stream_app.console.rows import MEASUREMENTS, Row, row_of
from stream_app.console.shapes import span_ms
from stream_app.console.window_rows import Found, WindowRows
from stream_app.sinks.window_table import series_of

POINTS_MAX = 2_000
"""Points of a curve: more than a screen has pixels for is thinned out here."""

_FIRST_TAG = re.compile(r"(?:[^,\\]|\\.)*", re.DOTALL)

_WHEN = f"time_ms BETWEEN 0 AND {MILLIS_MAX}"
"""Times that are none would be the newest, and stretch every curve: they are counted by themselves."""

_READABLE = "json_valid(tags) AND json_type(tags) = 'object'"
_POINT = f"SELECT measurement, time_ms, tags, fields FROM others WHERE measurement = ? AND {_WHEN}"  # noqa: S608
_NEXT = "SELECT min(series) FROM others WHERE measurement = ? AND series > ?"
_NEWEST = f"""
{_POINT} AND CASE WHEN {_READABLE} THEN json_extract(tags, '$.stream') = ? ELSE 1 END ORDER BY time_ms DESC LIMIT ?
"""
_BETWEEN = f"""
{_POINT} AND time_ms BETWEEN ? AND ? AND CASE WHEN {_READABLE} THEN json_extract(tags, '$.stream') = ? ELSE 1 END
ORDER BY time_ms DESC LIMIT ?
"""
# The plus keeps SQLite from going by time through the messages of all incidents for those of each.
_OF_SERIES = f"SELECT measurement, time_ms, tags, fields FROM others WHERE measurement = ? AND +{_WHEN}"  # noqa: S608
_MESSAGES = f"{_OF_SERIES} AND series = ? UNION ALL {_OF_SERIES} AND series > ? AND series < ?"

_TAGGED = f" AND CASE WHEN {_READABLE} THEN json_extract(tags, ?) = ? ELSE 0 END"
_TIMELESS = f"""
SELECT (SELECT count(*) FROM others WHERE measurement = :measurement AND time_ms < 0)
    + (SELECT count(*) FROM others WHERE measurement = :measurement AND time_ms > {MILLIS_MAX})
"""  # noqa: S608 - no values, here and below
# This jumps from one series to the next inside SQLite instead of reading every point.
_LASTS = f"""
WITH RECURSIVE found(series) AS (
    SELECT min(series) FROM others WHERE measurement = :measurement
    UNION ALL
    SELECT (SELECT min(series) FROM others WHERE measurement = :measurement AND series > found.series)
    FROM found WHERE found.series IS NOT NULL
)
SELECT p.measurement, p.time_ms, p.tags, p.fields
FROM found JOIN others p ON p.measurement = :measurement AND p.series = found.series
    AND p.time_ms = (SELECT max(time_ms) FROM others
                     WHERE measurement = :measurement AND series = found.series AND {_WHEN})
WHERE CASE WHEN {_READABLE} THEN json_extract(tags, '$.stream') = :stream ELSE 1 END
"""  # noqa: S608


def _time_ms(row: Row) -> int:
    return int(row["time_ms"])


class Points:
    """Questions to an open store about one stream.

    Points that are damaged or of another type are left out of the answers (:func:`~stream_app.console.rows.row_of`).
    """

    def __init__(self, link: sqlite3.Connection, stream: str) -> None:
        self.link, self.stream = link, stream
        self._windows = WindowRows(link)
        self._left_out: set[int] = set()

    @property
    def left_out(self) -> int:
        """Points that were left out so far, each once, and those of our measurements whose time is none."""
        timeless = [self.link.execute(_TIMELESS, {"measurement": name}).fetchone()[0] for name in MEASUREMENTS]
        return len(self._left_out) + int(sum(timeless)) + self._windows.timeless()

    def _rows(self, sql: str, names: Mapping[str, object] | tuple[object, ...]) -> list[Row]:
        return self._read(self.link.execute(sql, names))

    def _of_windows(self, found: Iterable[Found]) -> list[Row]:
        return self._read(("windows", *row) for row in found)

    def _read(self, points: Iterable[tuple[Any, ...]]) -> list[Row]:
        rows = []
        for found in points:
            try:
                rows.append(row_of(*found))
            except ValueError:
                self._left_out.add(hash(found))
        return rows

    def _window_series(self, slicing: str, name: str, span: str) -> str:
        """The series of a slice's windows."""
        return series_of((("slice", name), ("slicing", slicing), ("span", span), ("stream", self.stream)))

    def last_window(self, slicing: str, name: str, span: str) -> Row | None:
        """The newest window of a slice."""
        newest = self._windows.newest(self._window_series(slicing, name, span), 0, MILLIS_MAX)
        return next(iter(self._of_windows([newest] if newest else [])), None)

    def last_windows(self) -> list[Row]:
        """The newest window of each slice and span, panes aside, oldest first."""
        return sorted(self._of_windows(self._windows.lasts(self.stream)), key=_time_ms)

    def lasts(self, measurement: str) -> list[Row]:
        """The newest point of each series of a measurement that is not ``windows``, oldest first."""
        return sorted(self._rows(_LASTS, {"measurement": measurement, "stream": self.stream}), key=_time_ms)

    def newest(self, measurement: str, limit: int) -> list[Row]:
        """The newest points of a measurement, oldest first."""
        return self._rows(_NEWEST, (measurement, self.stream, limit))[::-1]

    def between(self, measurement: str, from_ms: int, to_ms: int, limit: int) -> list[Row]:
        """The newest points of a measurement between two times, both included, oldest first."""
        return self._rows(_BETWEEN, (measurement, from_ms, to_ms, self.stream, limit))[::-1]

    def count(self, measurement: str, **tags: str) -> int:
        """How many points of a measurement have these tags. Reads them all: for requests and the like."""
        pairs = {"stream": self.stream, **tags}
        sql = "SELECT count(*) FROM others WHERE measurement = ?" + _TAGGED * len(pairs)  # noqa: S608 - no values
        values = [part for name, value in pairs.items() for part in (f"$.{name}", value)]
        return int(self.link.execute(sql, (measurement, *values)).fetchone()[0])

    def spans(self, slicing: str, name: str) -> list[str]:
        """Spans of a slice's windows, shortest first."""
        head, tail = series_of((("slice", name), ("slicing", slicing), ("span", ""))), f",stream={self.stream}"
        spans, series = set(), self._windows.next(head)
        while series is not None and series.startswith(head):
            if series.endswith(tail):
                spans.add(series.removeprefix(head).removesuffix(tail))
            series = self._windows.next(series)
        return sorted(spans - {"pane"}, key=span_ms)

    def heads(self) -> list[Row]:
        """The last message of each incident, oldest first: two look-ups for each, and its few messages."""
        lasts = (self._messages(first)[-1:] for first in self._firsts("incidents"))
        return sorted((row for rows in lasts for row in rows), key=_time_ms)

    def thread(self, incident_id: str) -> list[Row]:
        """Messages of an incident in the order of their numbers; none where there is no such incident."""
        return self._messages(series_of((("id", incident_id),)))

    def _messages(self, first: str) -> list[Row]:
        values = ("incidents", first, "incidents", first + ",", first + "-")  # a hyphen is the next character
        rows = self._rows(_MESSAGES, values)
        own = (row for row in rows if row["stream"] == self.stream)
        return sorted(own, key=lambda row: (row["record"].number, int(row["time_ms"])))

    def curve(self, slicing: str, name: str, span: str, from_ms: int = 0, to_ms: int = MILLIS_MAX) -> list[Row]:
        """Points of a window series, thinned evenly in time to at most ``POINTS_MAX``; the newest one always stays.

        Args:
            slicing, name, span: whose windows.
            from_ms, to_ms: the first and the last time that is looked at.
        """
        series = self._window_series(slicing, name, span)
        return self._of_windows(self._windows.backwards(series, from_ms, to_ms, POINTS_MAX))[::-1]

    def _firsts(self, measurement: str) -> Iterator[str]:
        """A measurement's first tags, as series begin with them; one series of each is looked at."""
        series = self._next(measurement, "")
        while series is not None:
            first = _FIRST_TAG.match(series)[0]  # type: ignore[index] # it matches every text
            yield first
            series = self._next(measurement, first + "-")  # sorts right after all that go on with a comma

    def _next(self, measurement: str, after: str) -> str | None:
        """The next series by name; None after the last one, and where what follows is no text."""
        series = self.link.execute(_NEXT, (measurement, after)).fetchone()[0]
        return series if isinstance(series, str) and series.encode() > after.encode() else None
