"""What values are usual, for people: means and spreads of each slice in the columns' own units, by the hour of the day.

Evidence is made of event scores, which tell a person nothing. So a pane also sums the values themselves, centred and
scaled by the model, as whole numbers: where cuts into batches and the order of rows are cannot matter.
"""

from __future__ import annotations

import numpy as np

from flowlib import native
from flowlib.encoder.zones import local
from flowlib.reference.moments import group_sum
from flowlib.reference.shrinkage import pool
from flowlib.table import Bools, Floats, Ints

VALUE_UNIT = 1_024
"""Values are counted in parts of a column's scale."""

VALUE_MOST = 2**20
"""A value is at most so many scales from the centre; one beyond counts as that far."""

DAY_HOURS = 24
_HOUR_MS = 3_600_000
_NORMAL_IQR = 1.349
_TINY, _FAR = 1e-290, VALUE_MOST / 64
_LEAST = 1.0 / VALUE_UNIT
"""Least standard deviation, in scales: what is counted in steps of this says nothing of smaller ones."""


def value_counts(numeric: Floats, centre: Floats, scale: Floats) -> Ints:
    """Values ``(n, d)`` as whole numbers, :data:`VALUE_UNIT` to one scale; 0 where missing.

    >>> value_counts(np.array([[21.0, np.nan], [-1e300, 5.0]]), np.array([20.0, 5.0]), np.array([2.0, 1.0])).tolist()
    [[512, 0], [-1073741824, 0]]
    """
    if native.loops is not None:
        counted = np.empty(numeric.shape, dtype=np.int64)
        given = (np.ascontiguousarray(values, np.float64) for values in (numeric, centre, scale))
        native.loops.counts(*given, VALUE_MOST, VALUE_UNIT, counted)
        return counted
    missing = np.isnan(numeric)
    some = bool(missing.any())
    with np.errstate(over="ignore"):  # beyond every float is beyond the most
        scaled = (np.where(missing, 0.0, numeric) if some else numeric) - centre
        scaled /= scale
    np.clip(scaled, -VALUE_MOST, VALUE_MOST, out=scaled)
    scaled *= VALUE_UNIT
    counts = np.rint(scaled, out=scaled).astype(np.int64)
    return np.where(missing, 0, counts) if some else counts


def fit_values(
    numeric: Floats, time_ms: Ints, code: Ints, s: int, zone: str, inflation: Floats, all_inflation: Floats
) -> dict[str, Floats]:
    """The figures ``value_…`` of a reference, of held-out rows.

    Args:
        numeric: ``(n, d)``.
        time_ms: ``(n,)``.
        code: ``(n,)`` each row's slice, −1 for none.
        s: slices.
        zone: time zone of the hours.
        inflation, all_inflation: ``(s + 1, d)``, ``(d,)`` variance ratios of sums of a slice, and of all.
    """
    present = ~np.isnan(numeric)
    centre, scale = _centre_scale(numeric)
    values = value_counts(numeric, centre, scale) / VALUE_UNIT
    named = code >= 0
    mean, sd = _moments(values[named], present[named], code[named], s, inflation)
    rest = np.where(present, values - mean[code + 1], 0.0)
    hours = local(zone, time_ms) // _HOUR_MS % DAY_HOURS
    return {
        "value_centre": centre,
        "value_scale": scale,
        "value_mean": mean,
        "value_sd": sd,
        "value_profile": _profile(rest, present, hours, all_inflation),
    }


def profile_between(profile: Floats, start_ms: Ints, length_ms: Ints) -> Floats:
    """Means ``(m, d)`` of a profile ``(24, d)`` of hours over spans, from times on the zone's own clock.

    >>> hours = np.arange(24.0)[:, None]
    >>> profile_between(hours, np.array([3_600_000, 0, 82_800_000]), np.array([5_400_000, 5 * 86_400_000, 7_200_000])).T
    array([[ 1.33333333, 11.5       , 11.5       ]])
    """
    until = np.concatenate([np.zeros((1, profile.shape[1])), np.cumsum(profile, axis=0)])

    def total(time_ms: Ints) -> Floats:
        days, rest = np.divmod(time_ms, DAY_HOURS * _HOUR_MS)
        hour, part = np.divmod(rest, _HOUR_MS)
        return np.asarray(days[:, None] * until[-1] + until[hour] + (part / _HOUR_MS)[:, None] * profile[hour])

    day_ms = start_ms - start_ms % (DAY_HOURS * _HOUR_MS)  # sums from that day on, which have few digits
    start_ms = start_ms - day_ms
    return np.asarray((total(start_ms + length_ms) - total(start_ms)) / (length_ms / _HOUR_MS)[:, None])


def _centre_scale(numeric: Floats) -> tuple[Floats, Floats]:
    """Median and spread ``(d,)`` of the columns; 0 and 1 where there is no value."""
    both = np.array([_middle_spread(column[~np.isnan(column)]) for column in numeric.T])
    return both[:, 0], both[:, 1]


def _middle_spread(there: Floats) -> tuple[float, float]:
    """The median, and a spread that a few far values do not change as far as values differ that much, or any."""
    if not len(there):
        return 0.0, 1.0
    middle = float(np.median(there))
    off = there - middle
    most = float(np.abs(off).max())
    if most < _TINY:
        return middle, max(abs(middle), _TINY) if middle else 1.0
    off = off / most  # squares of large ones would overflow, of small ones vanish
    low, high = np.percentile(off, (25, 75))
    # Where half of the values are next to alike, the others must not be beyond what is counted.
    spread = max((high - low) / _NORMAL_IQR, np.percentile(np.abs(off), 99) / _FAR)
    return middle, max(most * float(spread or off.std()), _TINY)


def _moments(values: Floats, present: Bools, code: Ints, s: int, inflation: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations ``(s + 1, d)``, pooled partially."""
    n = group_sum(present, code, s)
    total, count = np.maximum(n, 1.0), np.maximum(n.sum(axis=0), 1.0)
    own = group_sum(values * present, code, s) / total
    own_square = group_sum(np.where(present, (values - own[code]) ** 2, 0.0), code, s) / total
    within = np.maximum((own_square * n).sum(axis=0) / count, _LEAST**2)
    known = n >= 2
    mean = pool(own, np.where(known, inflation[1:] * within / total, np.inf))
    square = pool(own_square / within, np.where(known, 2.0 * inflation[1:] / total, np.inf))
    return mean.mean, np.sqrt(np.maximum(square.mean * within, _LEAST**2))


def _profile(rest: Floats, present: Bools, hours: Ints, inflation: Floats) -> Floats:
    """What each hour adds to a slice's mean ``(24, d)``, as far as it is no chance; mean 0 over the rows."""
    n = group_sum(present, hours, DAY_HOURS)
    own = group_sum(rest, hours, DAY_HOURS) / np.maximum(n, 1.0)
    count = np.maximum(n.sum(axis=0), 1.0)
    within = np.maximum((rest**2).sum(axis=0) / count, _LEAST**2)
    profile = pool(own, np.where(n >= 2, inflation * within / np.maximum(n, 1.0), np.inf)).mean[1:]
    return np.asarray(profile - (profile * n).sum(axis=0) / count)
