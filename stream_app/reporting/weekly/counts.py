"""How many events a week had, day by day, and what became of them, from the panes and totals in the store."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np

from flowlib.bootstrap import Mean, variance
from flowlib.intervals import wilson
from flowlib.table import Ints
from schemas.pane_layout import OTHER
from stream_app.reporting.weekly.days import DAYS, Week

_T = TypeVar("_T")
_ROWS_MAX = 500_000
"""Panes of slices that a slicing may have to be read: the one with the fewest slices is where all have more."""

_SERIES = "SELECT id, tags FROM series"
_PANES = """
SELECT time_ms, series_id, fields FROM windows
WHERE time_ms > ? AND time_ms <= ? AND series_id IN (SELECT value FROM json_each(?))
"""
_TIMES = "SELECT count(DISTINCT time_ms) FROM windows WHERE time_ms > ? AND time_ms <= ?"
_TOTALS = """
SELECT fields FROM others WHERE measurement = 'counters' AND series = ? AND time_ms <= ? ORDER BY time_ms DESC LIMIT 1
"""
_PARTITIONS = "SELECT DISTINCT series, tags FROM others WHERE measurement = 'counters'"
WHOLE = 0.95
"""Share of the events whose panes are in the store from which on the others are not worth a word."""

LOST = ("late", "rejected", "duplicate")
"""Totals of events that were not counted."""

Place = tuple[str, str]
"""Slicing and slice."""


class _Tags(msgspec.Struct):
    stream: str
    slicing: str = ""
    slice: str = ""
    span: str = ""


class _Pane(msgspec.Struct):
    seen: int
    scored: int
    p_le_01: int
    missing: int = 0


_TAGS, _PANE = msgspec.json.Decoder(_Tags), msgspec.json.Decoder(_Pane)
_COUNTERS = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True)
class Counted:
    """Sums of a week.

    Attributes:
        seen, scored, strange: of each day ``(7,)``: events, those that the model judged, those with p ≤ .01 of them.
        calm, calm_strange: of those, where no incident was going on.
        elsewhere: events of slices that are not watched one by one.
        missing: values that were missing.
        totals: events by what became of them: ``received``, ``windowed`` and :data:`LOST`; empty where nobody knows.
        left_out: rows that cannot be read.
    """

    seen: Ints
    scored: Ints
    strange: Ints
    calm: Ints
    calm_strange: Ints
    elsewhere: int
    missing: int
    totals: Mapping[str, int]
    left_out: int

    @property
    def events(self) -> int:
        """Events of the week; by the running totals where these are known, as old panes may be thinned out."""
        return self.totals.get("windowed", 0) or int(self.seen.sum())

    @property
    def kept(self) -> float:
        """Share of them whose panes are in the store."""
        return min(int(self.seen.sum()) / self.events, 1.0) if self.events else 1.0


@dataclass(frozen=True)
class Trouble:
    """Where an incident was going on: from when to when, and on which slices; none named is everywhere."""

    from_ms: int
    to_ms: int
    places: Collection[Place]


@dataclass(frozen=True)
class Share:
    """A share of events.

    Attributes:
        value: NaN where there is none.
        low, high: its 95 % interval, between 0 and 1.
        days: days with events.
    """

    value: float
    low: float
    high: float
    days: int


def share_of(hits: Ints, of: Ints) -> Share:
    """A share over days ``(7,)``, whose events are alike within each: no narrower than were they independent."""
    days = of > 0
    n, m = of[days].astype(np.float64), hits[days].astype(np.float64)
    if not len(n):
        return Share(math.nan, 0.0, 1.0, 0)
    value = float(m.sum() / n.sum())
    error = math.sqrt(variance(m - value * n)) / float(n.sum()) if len(n) > 1 else math.inf
    low, high = Mean(value, error, len(n)).interval()
    plain_low, plain_high = wilson(m.sum(), n.sum())
    return Share(value, max(min(low, float(plain_low)), 0.0), min(max(high, float(plain_high)), 1.0), len(n))


def counted(
    link: sqlite3.Connection, stream: str, slicings: Sequence[str], week: Week, troubles: Sequence[Trouble]
) -> Counted:
    """Count a week of a stream.

    Args:
        link: an open store.
        stream: whose.
        slicings: names; each counts every event once, and the first is taken that is not too large.
        week: which.
        troubles: where incidents were going on.

    Raises:
        sqlite3.Error: the store cannot be read, or has no windows yet.
    """
    panes = _chosen(link, stream, slicings, week)
    sums, elsewhere, missing, left_out = np.zeros((5, DAYS), dtype=np.int64), 0, 0, 0
    wanted = msgspec.json.encode(list(panes)).decode()
    for time_ms, number, text in link.execute(_PANES, (week.from_ms, week.to_ms, wanted)):
        one, day, place = _pane(text), week.day_of(time_ms), panes[number]
        if one is None:
            left_out += 1
            continue
        quiet = not any(_is_in(trouble, time_ms, place) for trouble in troubles)
        sums[:, day] += (one.seen, one.scored, one.p_le_01, one.scored * quiet, one.p_le_01 * quiet)
        elsewhere += one.seen if place[1] == OTHER else 0
        missing += one.missing
    seen, scored, strange, calm, calm_strange = sums
    totals = _totals(link, stream, week)
    return Counted(seen, scored, strange, calm, calm_strange, elsewhere, missing, totals, left_out)


def _is_in(trouble: Trouble, time_ms: int, place: Place) -> bool:
    return trouble.from_ms < time_ms <= trouble.to_ms and (not trouble.places or place in trouble.places)


def _chosen(link: sqlite3.Connection, stream: str, slicings: Sequence[str], week: Week) -> dict[int, Place]:
    """Series of the panes of one slicing, with the slice of each."""
    found: dict[str, dict[int, Place]] = {name: {} for name in slicings}
    for number, text in link.execute(_SERIES):
        tags = _decoded(_TAGS, text)
        if tags is not None and tags.stream == stream and tags.span == "pane" and tags.slicing in found:
            found[tags.slicing][number] = tags.slicing, tags.slice
    times = int(link.execute(_TIMES, (week.from_ms, week.to_ms)).fetchone()[0])
    known = [series for series in found.values() if series]
    few = [series for series in known if len(series) * times <= _ROWS_MAX]
    return few[0] if few else min(known, key=len, default={})


def _pane(text: object) -> _Pane | None:
    one = _decoded(_PANE, text)
    return one if one is not None and 0 <= one.p_le_01 <= one.scored and 0 <= one.seen < 2**53 else None


def _decoded(decoder: msgspec.json.Decoder[_T], text: object) -> _T | None:
    try:
        return decoder.decode(text) if isinstance(text, str) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _totals(link: sqlite3.Connection, stream: str, week: Week) -> dict[str, int]:
    """What was added to the running totals of all source partitions in the week."""
    totals: dict[str, int] = {}
    for series, text in link.execute(_PARTITIONS).fetchall():
        tags = _decoded(_TAGS, text)
        if tags is None or tags.stream != stream:
            continue
        before, after = (_counters(link, series, time_ms) for time_ms in (week.from_ms, week.to_ms))
        for name in ("received", "windowed", *LOST):
            totals[name] = totals.get(name, 0) + max(after.get(name, 0) - before.get(name, 0), 0)
    return totals if totals.get("received") else {}


def _counters(link: sqlite3.Connection, series: str, time_ms: int) -> dict[str, int]:
    row: tuple[object] | None = link.execute(_TOTALS, (series, time_ms)).fetchone()
    found = _decoded(_COUNTERS, row[0]) if row else None
    return {name: value for name, value in (found or {}).items() if isinstance(value, int)}
