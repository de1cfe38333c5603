"""How a model has done on the events of each slice, day by day, from the panes that the embedded store keeps: what
:mod:`flowlib.fairness` compares, for the dossier and the console.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from flowlib.fairness import Counts, Part, fairness_of
from flowlib.table import DAY_MS
from schemas.bounds import MILLIS_MAX

DAYS_MAX, ROWS_MAX = 30, 500_000
"""The newest days of a model that are looked at: fewer where that takes more rows than this, one at least."""
MODEL_ROWS_MAX = 10_000
"""Newest rows among which the model in service is looked for."""
PARTS_MAX = 200
"""Slices of a slicing that stand by themselves; those with fewer events count together."""

_SERIES = "SELECT id, tags FROM series"
_NEWEST = "SELECT series_id, fields FROM windows WHERE time_ms BETWEEN 0 AND ? ORDER BY time_ms DESC LIMIT ?"
_DAY_BEFORE = f"SELECT max(time_ms) FROM windows WHERE time_ms BETWEEN 1 AND min(?, {MILLIS_MAX})"  # noqa: S608 - no values
_DAY = """
SELECT time_ms, series_id, fields FROM windows
WHERE time_ms > ? AND time_ms <= ? AND series_id IN (SELECT value FROM json_each(?))
"""


class _Tags(msgspec.Struct):
    stream: str
    slicing: str
    slice: str
    span: str


class _Fields(msgspec.Struct):
    """Of a pane of a slice, as far as it matters here."""

    model_id: str
    scored: int
    p_le_01: int
    unscorable: int = 0
    log_prob_mean: float = 0.0


_TAGS, _FIELDS = msgspec.json.Decoder(_Tags), msgspec.json.Decoder(_Fields)
_Place = tuple[str, str]
"""Slicing and slice."""


@dataclass(frozen=True)
class Realised:
    """How a model has done.

    Attributes:
        model_id: of the model; "" where none has scored anything.
        from_ms, to_ms: whole days of event time that were looked at; 0 where there are none.
        slices: of each slicing its slices, counted by day.
        left_out: rows that cannot be read.
    """

    model_id: str
    from_ms: int = 0
    to_ms: int = 0
    slices: Mapping[str, Counts] = field(default_factory=dict)
    left_out: int = 0

    @property
    def parts(self) -> list[Part]:
        """Slices and groups of them against all others, the most over-alarmed of each grouping first; none of a slicing
        that is one slice.
        """
        return [
            part
            for slicing, counts in self.slices.items()
            if len(counts.names) > 1
            for part in fairness_of(counts, slicing.split("+"), PARTS_MAX)
        ]


def realised(link: sqlite3.Connection, stream: str, model_id: str = "", rows_max: int = ROWS_MAX) -> Realised:
    """How a model has done on the newest days that it has scored.

    Args:
        link: an open store.
        stream: whose windows.
        model_id: of the model; by default the one of the newest pane.
        rows_max: no further day is looked at beyond so many rows: a second or two for a million.

    Raises:
        sqlite3.Error: the store cannot be read, or has no windows yet.
    """
    panes = dict(_panes(link, stream))
    model_id = model_id or _newest(link, panes)
    if not model_id:
        return Realised("")
    sums, left_out, days, rows = defaultdict[tuple[_Place, int], list[float]](lambda: [0.0] * 4), 0, list[int](), 0
    wanted = msgspec.json.encode(list(panes)).decode()
    for day, of_day in _days(link, wanted):
        if len(days) == DAYS_MAX or (days and rows + len(of_day) > rows_max):
            break
        rows += len(of_day)
        for _, number, text in of_day:
            one = _fields(text)
            left_out += one is None
            if one is not None and one.model_id == model_id:
                days += [day] if days[-1:] != [day] else []
                for i, value in enumerate((one.scored, one.p_le_01, one.scored * one.log_prob_mean, one.unscorable)):
                    sums[panes[number], day][i] += value
        if not days and rows > rows_max:
            break
    if not days:
        return Realised(model_id, left_out=left_out)
    days.sort()
    return Realised(model_id, days[0] * DAY_MS, (days[-1] + 1) * DAY_MS, _counts(sums, days), left_out)


def alarms_since(
    link: sqlite3.Connection, stream: str, model_id: str, from_ms: int, rows_max: int = ROWS_MAX
) -> tuple[int, int, int]:
    """Events that a model has scored since a time, of these the alarms, and the end of the newest pane among them; each
    event once, by the slicing that has counted most.

    Args:
        link, stream: as of :func:`realised`.
        model_id: of the model.
        from_ms: panes that end later count.
        rows_max: of more rows the newest days count, one at least.

    Raises:
        sqlite3.Error: the store cannot be read, or has no windows yet.
    """
    panes, sums, until_ms, rows = dict(_panes(link, stream)), defaultdict[str, list[int]](lambda: [0, 0]), 0, 0
    for day, of_day in _days(link, msgspec.json.encode(list(panes)).decode()):
        if (day + 1) * DAY_MS <= from_ms or (rows and rows + len(of_day) > rows_max):
            break
        rows += len(of_day)
        for time_ms, number, text in of_day:
            one = _fields(text) if time_ms > from_ms else None
            if one is not None and one.model_id == model_id:
                of_slicing, until_ms = sums[panes[number][0]], max(until_ms, time_ms)
                of_slicing[0], of_slicing[1] = of_slicing[0] + one.scored, of_slicing[1] + one.p_le_01
    scored, alarms = max(sums.values(), default=[0, 0])
    return scored, alarms, until_ms


def _panes(link: sqlite3.Connection, stream: str) -> Iterator[tuple[int, _Place]]:
    """Series of a stream's panes, with the slice of each."""
    for number, text in link.execute(_SERIES):
        try:
            tags = _TAGS.decode(text)
        except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError):
            continue
        if tags.stream == stream and tags.span == "pane":
            yield number, (tags.slicing, tags.slice)


def _newest(link: sqlite3.Connection, panes: Mapping[int, _Place]) -> str:
    """The model of the newest pane that was scored; "" where there is none."""
    for number, text in link.execute(_NEWEST, (MILLIS_MAX, MODEL_ROWS_MAX)):
        one = _fields(text) if number in panes else None
        if one is not None and one.model_id and one.scored:
            return one.model_id
    return ""


def _days(link: sqlite3.Connection, wanted: str) -> Iterator[tuple[int, list[tuple[int, int, str]]]]:
    """Days that have rows, the newest first, each with its rows: time, series and fields. A pane belongs to the day in
    which it ends, at midnight to the one before.
    """
    newest = link.execute(_DAY_BEFORE, (MILLIS_MAX,)).fetchone()[0]
    while newest is not None:
        day = (newest - 1) // DAY_MS
        yield day, link.execute(_DAY, (day * DAY_MS, (day + 1) * DAY_MS, wanted)).fetchall()
        newest = link.execute(_DAY_BEFORE, (day * DAY_MS,)).fetchone()[0]


def _fields(text: object) -> _Fields | None:
    try:
        one = _FIELDS.decode(text) if isinstance(text, str | bytes) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return one if one is not None and 0 <= one.p_le_01 <= one.scored and one.unscorable >= 0 else None


def _counts(sums: Mapping[tuple[_Place, int], Sequence[float]], days: Sequence[int]) -> dict[str, Counts]:
    """Of each slicing its slices, by day."""
    at, slices = {day: i for i, day in enumerate(days)}, defaultdict[str, list[str]](list)
    for slicing, name in dict.fromkeys(place for place, _ in sorted(sums)):
        slices[slicing].append(name)
    found = {slicing: (names, np.zeros((4, len(names), len(days)))) for slicing, names in slices.items()}
    place_of = {(slicing, name): i for slicing, names in slices.items() for i, name in enumerate(names)}
    for (place, day), values in sums.items():
        found[place[0]][1][:, place_of[place], at[day]] = values
    return {slicing: Counts(names, *columns) for slicing, (names, columns) in found.items()}
