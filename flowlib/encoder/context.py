"""Context: what a flow is conditioned on beside gaps and categories, the hour, the weekday, the season and the slice.

Hour, weekday and season (the day of the year) are sines and cosines on the clock of the stream's own zone: what people
do keeps its hour when clocks change. Hour and weekday have two harmonics. The season has one: a model is used on days
that come after those it has learnt, and a second one bends where a first year has not been. It is told once training
rows have seen the year; a model of half a year would make up the other half (``flowlib/FINDINGS.md`` for both). A slice
is a row of a table that is learnt with the flow; code 0 is for slices never seen or rare, trained by hiding the slice
of a few rows at each step.
"""

from __future__ import annotations

import numpy as np

from flowlib.encoder.zones import local
from flowlib.table import DAY_MS, Bools, Ints, Objects, Singles

KINDS = ("hour", "weekday", "season", "slice")
SLICES_MAX, SLICE_ROWS_MIN = 4_096, 30
"""The most frequent slices with at least so many training rows have codes of their own."""

_MINUTE_MS = 60_000


def _circle(n: int, harmonics: int) -> Singles:
    """``(n, 2 · harmonics)`` sines and cosines at n angles."""
    turn = 2.0 * np.pi * np.arange(n) / n
    waves = [wave(k * turn) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1).astype(np.float32)


YEAR, GAP_MAX_DAYS = 366, 30
"""Days of the longest year; days in a row without rows, of which the season is known by those on either side."""

_OF_DAY, _OF_WEEK, _OF_YEAR = _circle(1_440, 2), _circle(7, 2), _circle(YEAR, 1)
_YEAR_DAYS = 365.2425
CLOCK_WIDTH: dict[str, int] = {"hour": _OF_DAY.shape[1], "weekday": _OF_WEEK.shape[1], "season": _OF_YEAR.shape[1]}
"""Columns of each clock context."""


def clock_columns(kinds: tuple[str, ...], time_ms: Ints, zone: str = "UTC", has_season: bool = True) -> list[Singles]:
    """A block for each of ``hour`` and ``weekday`` ``(n, 4)`` and ``season`` ``(n, 2)`` asked for, on the clock of the
    zone. Without ``has_season`` the season is nought for all.
    """
    if not set(kinds) & set(CLOCK_WIDTH):
        return []
    blocks, there = [], local(zone, time_ms)
    if "hour" in kinds:
        blocks.append(_OF_DAY[there % DAY_MS // _MINUTE_MS])
    if "weekday" in kinds:
        blocks.append(_OF_WEEK[(there // DAY_MS + 3) % 7])  # the epoch was a Thursday; 0 is Monday
    if "season" in kinds:
        blocks.append(_OF_YEAR[_day_of_year(there)] if has_season else np.zeros((len(there), 2), dtype=np.float32))
    return blocks


def _day_of_year(there: Ints) -> Ints:
    return (there // DAY_MS % _YEAR_DAYS).astype(np.int64)


def seen_days(time_ms: Ints, zone: str, before: Bools | None = None) -> Bools:
    """``(366,)`` the days of the year on which rows came.

    Args:
        time_ms: ``(n,)`` of the rows. A day with less than a twentieth of the mean is not seen.
        zone: of the days.
        before: such days of rows that came before; they are seen as well.
    """
    counts = np.bincount(_day_of_year(local(zone, time_ms)), minlength=YEAR)
    seen = counts > 0.05 * counts.sum() / max(np.count_nonzero(counts), 1)
    return np.asarray(seen if before is None else seen | before)


def is_year(seen: Bools) -> bool:
    """Whether days of the year ``(366,)`` leave no gap of more than :data:`GAP_MAX_DAYS`: over a longer one a wave is
    not interpolated but made up.

    >>> days = np.arange(YEAR)
    >>> is_year(days >= 0), is_year(days >= 30), is_year(days >= 31), is_year(days > YEAR)
    (True, True, False, False)
    """
    days = np.flatnonzero(seen)
    return len(days) > 0 and int(np.diff(days, append=days[0] + YEAR).max()) <= GAP_MAX_DAYS + 1


def join_context(missing: Bools, codes: Ints, sizes: list[int], blocks: list[Singles]) -> Singles:
    """Context ``(n, c)``: missing indicators ``(n, d)``, codes ``(n, k)`` as one-hot columns of these sizes, blocks."""
    # Written in place: wide one-hot columns that were made apart and then joined would be in memory twice.
    start, rows = missing.shape[1], np.arange(len(missing))
    width = start + sum(sizes) + sum(block.shape[1] for block in blocks)
    context = np.zeros((len(missing), width), dtype=np.float32)
    if missing.any():
        context[:, :start] = missing
    for k, size in enumerate(sizes):
        context[rows, start + codes[:, k]] = 1.0
        start += size
    for block in blocks:
        context[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return context


def frequent_slices(slices: Objects) -> tuple[str, ...]:
    """Names of the slices that get a code of their own, most rows first."""
    names, counts = np.unique(slices.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SLICES_MAX]
    return tuple(str(names[i]) for i in order if counts[i] >= SLICE_ROWS_MIN)
