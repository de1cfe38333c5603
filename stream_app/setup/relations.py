"""How columns hang together: which tells time, which follows from another, which parts the rows into series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Floats, Ints
from stream_app.setup.columns import Column
from stream_app.setup.times import NONE

_HOUR, _DAY = 3_600_000, 86_400_000
_EXACT = 0.999
RANK_MAX = 0.99
"""Spearman's correlation with time from which on a number tells it: the trainer refuses it from there on too."""
_RANKS_MIN = 100
_REPEATS = 3.0
"""A value of a part of time must have been seen so often before it says that a column follows from it."""
_VALUES_MAX = 400
_OF_YEAR = frozenset({"doy", "yearday", "season", "quarter", "week", "weekofyear", "semester"})
_NAMES = {
    "the hour": frozenset({"hour", "hr", "hh"}),
    "the weekday": frozenset({"weekday", "dow", "day"}),
    "the month": frozenset({"month", "mnth", "mon", "mm"}),
    "the year": frozenset({"year", "yr", "yyyy"}),
    "the day of the month": frozenset({"day", "dom", "dd"}),
    "the day of the year": _OF_YEAR,
    "the date in the year": _OF_YEAR,
}
"""What columns that repeat a part of time are called: these need not have come back to be known."""


def codes_of(column: Column) -> Ints:
    """``(n,)`` a number for each different value, -1 for none."""
    known: dict[Any, int] = {}

    def code(value: Any) -> int:
        if value is None or isinstance(value, list | dict):
            return -1
        return known.setdefault(value.strip() if isinstance(value, str) else value, len(known))

    return np.array([code(value) for value in column.values], dtype=np.int64)


def follows(codes: Ints, of: Ints, exact: float = _EXACT) -> bool:
    """Whether a column's value follows from another's: with each of them goes one value, but for very few rows."""
    known = (codes >= 0) & (of >= 0)
    if known.sum() < 20:
        return False
    pairs, counts = np.unique(of[known] * (int(codes.max()) + 1) + codes[known], return_counts=True)
    group = pairs // (int(codes.max()) + 1)
    largest = np.zeros(int(group.max()) + 1, dtype=np.int64)
    np.maximum.at(largest, group, counts)
    return bool(largest.sum() >= exact * known.sum())


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the time, row by row.

    Attributes:
        codes: ``(n,)`` its number, -1 where there is no time.
        seen: different ones.
        recurs: whether each came back often enough to say that something follows from it.
    """

    codes: Ints
    seen: int
    recurs: bool


def parts_of(times: Ints) -> dict[str, Part]:
    """The parts of times that columns like to repeat, such as ``the hour``."""
    good, made = times != NONE, dict[str, Part]()
    for name, part in _parts(times[good]).items():
        whole = np.full(len(times), -1, dtype=np.int64)
        whole[good] = part
        made[name] = Part(whole, len(np.unique(part)), _recurrences(part) >= _REPEATS)
    return made


def part_of_time(column: Column, times: Ints, parts: Mapping[str, Part]) -> str:
    """The part of the time that a column only repeats; "" where it says something else.

    Args:
        column: of the rows.
        times: ``(n,)`` of the rows.
        parts: of these times.
    """
    if not column.is_number and column.distinct > _VALUES_MAX:
        return ""
    if column.is_number and _counts_with(column, times):
        return "how far time has come"
    if not 2 <= column.distinct <= _VALUES_MAX:
        return ""
    codes = codes_of(column)
    for name, part in parts.items():
        named = bool(column.words & _NAMES.get(name, frozenset()))
        if column.distinct <= part.seen and (named or part.recurs) and follows(codes, part.codes):
            return name
    return ""


def _parts(times: Ints) -> dict[str, Ints]:
    days = times // _DAY
    moments = times.astype("datetime64[ms]")
    months = moments.astype("datetime64[M]").astype(np.int64)
    years = moments.astype("datetime64[Y]")
    of_month = (moments.astype("datetime64[D]") - moments.astype("datetime64[M]")).astype(np.int64)
    return {
        "the hour": times // _HOUR % 24,
        "the weekday": (days + 3) % 7,
        "the time of day": times // 60_000 % 1_440,
        "the month": months % 12,
        "the year": years.astype(np.int64),
        "the day of the month": of_month,
        "the day of the year": (moments.astype("datetime64[D]") - years).astype(np.int64),
        "the date in the year": months % 12 * 31 + of_month,  # after February a leap year's days have other numbers
    }


def _recurrences(part: Ints) -> float:
    """How often a value comes back on average after others: without that, anything follows from it."""
    changes = np.count_nonzero(np.diff(part)) + 1
    return changes / max(len(np.unique(part)), 1)


def _counts_with(column: Column, times: Ints) -> bool:
    """Whether a number only grows with time, a counter of rows, days or seconds, or is so near to it that the trainer
    takes it for one.
    """
    known = (times != NONE) & ~np.isnan(column.numbers)
    if known.sum() < 20:
        return False
    order = np.argsort(times[known], kind="stable")
    values, when = column.numbers[known][order], times[known][order].astype(np.float64)
    if values.min() == values.max() or when[0] == when[-1]:
        return False
    if column.is_whole and not np.any(np.diff(values) < 0):
        return abs(float(np.corrcoef(values, when)[0, 1])) > _EXACT
    return len(values) >= _RANKS_MIN and abs(_in_order(values)) >= RANK_MAX


def _in_order(values: Floats) -> float:
    """Spearman's correlation with the place in the row."""
    _, level, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2
    return float(np.corrcoef(ranks[level], np.arange(len(values)))[0, 1])


def parts_series(codes: Ints, times: Ints, runs: Ints) -> float:
    """How surely a column parts the rows into series, 0 to 1: times that repeat over all rows do not within one value,
    or rows that are not in order of time are so within one.
    """
    good = (times != NONE) & (codes >= 0)
    if good.sum() < 20:
        return 0.0
    t, c, r = times[good], codes[good], runs[good]
    repeated = 1.0 - len(np.unique(np.stack([r, t]), axis=1)[0]) / len(t)
    within = 1.0 - len(np.unique(np.stack([r, c, t]), axis=1)[0]) / len(t)
    beside = np.diff(r) == 0
    backwards = float(np.mean(np.diff(t)[beside] < 0)) if beside.any() else 0.0
    order = np.lexsort((c, r))
    same = (np.diff(c[order]) == 0) & (np.diff(r[order]) == 0)
    inside = float(np.mean(np.diff(t[order])[same] < 0)) if same.any() else 1.0
    panel = max(0.0, repeated - within) if repeated > 0.2 else 0.0
    sequence = max(0.0, backwards - inside) / backwards if backwards > 0.0 and inside < 0.2 * backwards else 0.0
    return max(panel / max(repeated, 1e-9), sequence if backwards > 1e-4 else 0.0)


def same_numbers(columns: Sequence[Column]) -> dict[str, str]:
    """Columns that are another one over again, in its unit or in another: name to the name of the first."""
    twins: dict[str, str] = {}
    kept: dict[tuple[float, ...], list[Column]] = {}
    for column in columns:
        alike = kept.setdefault(_signature(column.numbers), [])
        first = next((other for other in alike if _is_line(column.numbers, other.numbers)), None)
        if first is None:
            alike.append(column)
        else:
            twins[column.name] = first.name
    return twins


def _signature(numbers: Floats) -> tuple[float, ...]:
    """The same for columns that are on one line: where they stand in some rows, without their unit."""
    known = numbers[~np.isnan(numbers)]
    spread = float(known.std()) if len(known) else 0.0
    if spread == 0.0:
        return ()
    few = (known[:: max(1, len(known) // 4)][:4] - known.mean()) / spread
    return (float(len(known)), *np.round(few * (np.sign(few[np.argmax(np.abs(few))]) or 1.0), 4).tolist())


def _is_line(one: Floats, other: Floats) -> bool:
    both = ~np.isnan(one) & ~np.isnan(other)
    if both.sum() < 20:
        return False
    a, b = one[both], other[both]
    spread_a, spread_b = float(a.std()), float(b.std())
    if spread_a == 0.0 or spread_b == 0.0:
        return False
    rho = float(np.mean((a - a.mean()) * (b - b.mean())) / (spread_a * spread_b))
    return abs(rho) > 1.0 - 1e-9


def course(numbers: Sequence[Column], times: Ints) -> dict[str, tuple[str, float]]:
    """How much of a number's variation follows the hour of the day and the weekday, as ``model.context`` names them:
    the column of which it is most, and the share. Only where every value of it came back often.
    """
    good = times != NONE
    found: dict[str, tuple[str, float]] = {}
    for name, part in (("hour", times // _HOUR % 24), ("weekday", (times // _DAY + 3) % 7)):
        if not good.any() or _recurrences(part[good]) < 2 * _REPEATS:
            continue
        shares = [(column.name, _explained(column.numbers, part, good)) for column in numbers]
        found[name] = max(shares, key=lambda each: each[1], default=("", 0.0))
    return found


def _explained(numbers: Any, part: Ints, good: Any) -> float:
    known = good & ~np.isnan(numbers)
    values, group = numbers[known], part[known]
    if len(values) < 500 or values.std() == 0.0:
        return 0.0
    counts = np.bincount(group)
    means = np.bincount(group, weights=values) / np.maximum(counts, 1)
    return float(np.var(means[group]) / np.var(values))
