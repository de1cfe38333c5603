"""Windows of the embedded store: they lie by time, and their series are found by the days on which these have any."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from flowlib.table import DAY_MS
from schemas.bounds import MILLIS_MAX

Found = tuple[int, str, str]
"""Of a row: its time, tags and fields."""

_DAY_MAX = MILLIS_MAX // DAY_MS
_SERIES = "SELECT id, tags FROM series WHERE series = ?"
_NEXT = "SELECT min(series) FROM series WHERE series > ?"
_TIMELESS = f"""
SELECT (SELECT count(*) FROM windows WHERE time_ms < 0) + (SELECT count(*) FROM windows WHERE time_ms > {MILLIS_MAX})
"""  # noqa: S608 - no values, here and below
_WANTED = """
CASE WHEN json_valid(tags) AND json_type(tags) = 'object'
    THEN json_extract(tags, '$.stream') = ? AND json_extract(tags, '$.span') IS NOT 'pane' ELSE 1 END
"""
_LAST_DAYS = f"""
SELECT (SELECT max(day) FROM window_days WHERE series_id = id AND day BETWEEN 0 AND {_DAY_MAX}) AS last, id, tags
FROM series WHERE {_WANTED}
"""  # noqa: S608
_DAY_BEFORE = "SELECT max(day) FROM window_days WHERE series_id = ? AND day BETWEEN 0 AND ?"
_DAY_AFTER = "SELECT min(day) FROM window_days WHERE series_id = ? AND day > ?"
_TIME_BEFORE = "SELECT max(time_ms) FROM windows WHERE time_ms BETWEEN ? AND ?"
_AT = """
SELECT w.series_id, w.fields FROM json_each(?) AS wanted
CROSS JOIN windows AS w ON w.time_ms = ? AND w.series_id = wanted.value
"""


def _times(pick: str, rest: str) -> str:
    """From one time to the next of all series inside SQLite, until the series has a row. Each is found by one bound."""
    return f"""
    WITH RECURSIVE at(t) AS (
        SELECT {pick}(time_ms) FROM windows WHERE time_ms BETWEEN :from AND :to
        UNION ALL
        SELECT (SELECT {pick}(time_ms) FROM windows WHERE {rest}) FROM at WHERE at.t IS NOT NULL
    )
    SELECT w.time_ms, w.fields FROM at CROSS JOIN windows AS w ON w.time_ms = at.t AND w.series_id = :id LIMIT 1
    """  # noqa: S608


_NEWEST = _times("max", "time_ms >= :from AND time_ms < at.t")
_OLDEST = _times("min", "time_ms > at.t AND time_ms <= :to")


class WindowRows:
    """Questions about windows to an open store.

    A row costs a few look-ups, and one more for each pane in which its series was silent on a day on which it was not.
    """

    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def timeless(self) -> int:
        """Rows whose time is none."""
        return int(self._one(_TIMELESS))

    def next(self, series: str) -> str | None:
        """The next series by name; None after the last one, and where what follows is no text."""
        found = self._one(_NEXT, series)
        return found if isinstance(found, str) and found.encode() > series.encode() else None

    def lasts(self, stream: str) -> Iterator[Found]:
        """The newest row of each series of a stream, panes aside, and of those whose tags nobody can read."""
        waiting: dict[int, dict[int, str]] = {}
        for day, number, tags in self._link.execute(_LAST_DAYS, (stream,)).fetchall():
            if day is not None:
                waiting.setdefault(day, {})[number] = tags
        while waiting:
            day = max(waiting)
            of_day = waiting.pop(day)
            yield from self._lasts_of(day, of_day)
            for number, tags in of_day.items():  # somebody has deleted its rows
                before = self._one(_DAY_BEFORE, number, day - 1)
                if before is not None:
                    waiting.setdefault(before, {})[number] = tags

    def _lasts_of(self, day: int, wanted: dict[int, str]) -> Iterator[Found]:
        """The newest row of the day of each series, which is taken out of those that are wanted."""
        first, time_ms = day * DAY_MS, min(day * DAY_MS + DAY_MS - 1, MILLIS_MAX) + 1
        while wanted and (time_ms := self._one(_TIME_BEFORE, first, time_ms - 1)) is not None:
            numbers = msgspec.json.encode(list(wanted)).decode()
            for number, fields in self._link.execute(_AT, (numbers, time_ms)).fetchall():
                yield time_ms, wanted.pop(number, ""), fields

    def newest(self, series: str, from_ms: int, to_ms: int) -> Found | None:
        """The newest row of a series between two times."""
        return next(self.backwards(series, from_ms, to_ms, 1), None)

    def backwards(self, series: str, from_ms: int, to_ms: int, most: int) -> Iterator[Found]:
        """Rows of a series between two times, the newest first, thinned evenly in time to as many at most."""
        found = self._link.execute(_SERIES, (series,)).fetchone()
        if found is None:
            return
        number, tags = found
        row = self._before(number, from_ms, to_ms)
        if row is None:
            return
        oldest_ms = self._after(number, from_ms, to_ms)
        step = max(1, (row[0] - oldest_ms) // (most - 1)) if most > 1 else 1
        for _ in range(most):
            yield row[0], tags, row[1]
            row = self._before(number, from_ms, row[0] - step)
            if row is None:
                return

    def _before(self, number: int, from_ms: int, to_ms: int) -> tuple[int, str] | None:
        """Time and fields of the newest row of a series between two times."""
        day = self._one(_DAY_BEFORE, number, to_ms // DAY_MS)
        while day is not None and (day + 1) * DAY_MS > from_ms:
            names = {"id": number, "from": max(from_ms, day * DAY_MS), "to": min(to_ms, day * DAY_MS + DAY_MS - 1)}
            row: tuple[int, str] | None = self._link.execute(_NEWEST, names).fetchone()
            if row is not None:
                return row
            day = self._one(_DAY_BEFORE, number, day - 1)
        return None

    def _after(self, number: int, from_ms: int, to_ms: int) -> int:
        """Time of the oldest row of a series between two times, where it has any."""
        day = self._one(_DAY_AFTER, number, from_ms // DAY_MS - 1)
        while day is not None and day * DAY_MS <= to_ms:
            names = {"id": number, "from": max(from_ms, day * DAY_MS), "to": min(to_ms, day * DAY_MS + DAY_MS - 1)}
            if row := self._link.execute(_OLDEST, names).fetchone():
                return int(row[0])
            day = self._one(_DAY_AFTER, number, day)
        return to_ms

    def _one(self, sql: str, *values: object) -> Any:
        return self._link.execute(sql, values).fetchone()[0]
