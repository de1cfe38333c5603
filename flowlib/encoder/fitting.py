"""Fitting an encoder: the choice of a column's map, its limit, smoothed tables of categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flowlib.encoder.columns import MAPS, ColumnMap, Standard, moments
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Floats, Objects

LEVELS_MAX = 256
"""Levels of a categorical column that are kept apart, the most frequent ones; the others are rare."""

GAIN_MIN_NATS, QUANTILE_GAIN_MIN_NATS = 0.05, 0.25
"""Held-out nats by which a map must be better than a simpler one; quantiles have a margin of their own."""

LIMIT_MIN, LIMIT_MAX = 10.0, 50.0
"""Bounds of a column's limit, scale units; between them it is 1.5 times the farthest training value."""

MODE_SHARE_MAX = 0.1
"""No quantiles for a column where one value has a larger share: they would stretch the noise inside its cell."""

_GAIN_A_ROW_MAX = 5.0
"""Nats: bounds what a handful of far-out rows adds to the gain of a map."""

_CHOICE_ROWS_MAX = 20_000
_ROWS_MIN = 20
_CONSTANT, _CONSTANT_WHOLE = 1e-9, 0.1
"""Scale of a constant column, relative to its value; at most this one where the value is a whole number."""

_FLAT = 1e-6
"""A range so narrow, relative to the values in it, has no use for logarithms, which would only lose digits."""


def fit_column(x: Floats, step: float, kinds: Sequence[str]) -> ColumnMap:
    """The map of one column, chosen by held-out likelihood and fitted on all values.

    Args:
        x: ``(n,)`` finite values.
        step: width of the cells that values are spread over first, 0 for none.
        kinds: candidates, the simpler ones first; ``standard`` where none of them applies.
    """
    if not len(x):
        return Standard(np.zeros(1), np.ones(1))
    if x.min() == x.max():
        return Standard(x[:1].copy(), np.array([_scale_of_constant(float(x[0]))]))
    if x.max() - x.min() < _FLAT * np.abs(x).max():
        kinds = [kind for kind in kinds if kind not in ("log", "asinh")]
    if np.unique(x, return_counts=True)[1].max() > MODE_SHARE_MAX * len(x):
        kinds = [kind for kind in kinds if kind != "quantile"]
    generator = np.random.default_rng(0)
    order = generator.permutation(len(x))
    x = x + step * generator.uniform(-0.5, 0.5, len(x))
    kind = "standard" if len(x) < _ROWS_MIN else _choose(x[order[:_CHOICE_ROWS_MAX]], kinds)
    return MAPS[kind].fit(x) or Standard(*moments(x))


def _scale_of_constant(value: float) -> float:
    scale = _CONSTANT * (abs(value) or 1.0)
    return min(scale, _CONSTANT_WHOLE) if value.is_integer() else scale


def _choose(x: Floats, kinds: Sequence[str]) -> str:
    """The simplest kind that no other beats by more than the margin and twice its standard error.

    Judged on distinct values: one that repeats off any grid has no density, and would favour the steepest map.
    """
    if len(kinds) == 1:
        return kinds[0]
    x = x[np.sort(np.unique(x, return_index=True)[1])]
    train, test = x[::2], x[1::2]
    best, reference = "standard", held_out(MAPS["standard"], train, test)
    for kind in kinds:
        log_prob = held_out(MAPS[kind], train, test)
        if log_prob is None or MAPS[kind].fit(x) is None:
            continue
        if reference is None or best not in kinds:
            best, reference = kind, log_prob
        gain = np.minimum(log_prob - reference, _GAIN_A_ROW_MAX)
        margin = QUANTILE_GAIN_MIN_NATS if kind == "quantile" else GAIN_MIN_NATS
        if gain.mean() > max(margin, 2.0 * float(gain.std()) / np.sqrt(len(gain))):
            best, reference = kind, log_prob
    return best


def held_out(kind: type[ColumnMap], train: Floats, test: Floats) -> Floats | None:
    """Log-density, nats, of test values under a standard normal behind the map; None where the kind does not apply."""
    column_map = kind.fit(train) if train.std() > 0 else None
    if column_map is None:
        return None
    value, slope = column_map.forward(test[:, None])
    return np.asarray((slope - 0.5 * value * value - HALF_LOG_TWO_PI)[:, 0], dtype=np.float64)


def limits(maps: Sequence[ColumnMap], columns: Sequence[Floats]) -> Floats:
    """``(d,)`` limits of the features, scale units."""
    reached = [float(np.abs(m.forward(x[:, None])[0]).max(initial=0.0)) for m, x in zip(maps, columns, strict=True)]
    return np.clip(1.5 * np.array(reached, dtype=np.float64), LIMIT_MIN, LIMIT_MAX)


def tail_nats(value: Floats, limit: Floats) -> Floats:
    """Nats ``(n, d)`` ≥ 0 that features beyond their limit pay, strictly increasing in the distance.

    The price of a standard normal up to 50 scale units, and of a power law with the same slope beyond: finite for any
    float32.
    """
    far = np.abs(value)
    if not (far > limit).any():
        return np.zeros_like(value)
    return np.where(far > limit, _price(np.maximum(far, limit)) - _price(limit), 0.0)


def _price(far: Floats) -> Floats:
    near = np.minimum(far, LIMIT_MAX)
    return 0.5 * near * near + LIMIT_MAX**2 * np.log(np.maximum(far, LIMIT_MAX) / LIMIT_MAX)


@dataclass(frozen=True)
class Levels:
    """One categorical column.

    Attributes:
        known: levels kept apart, most frequent first.
        rare: number of other levels among the rows fitted; 0 where all are known.
        log_prob: ``(len(known) + 1,)`` log probability of each known level and, last, of any single other one.
    """

    known: tuple[str | None, ...]
    rare: int
    log_prob: Floats


def fit_levels(values: Objects) -> Levels:
    """Levels with log probabilities smoothed by ½.

    Rare ones and one never seen share evenly what the known ones leave.
    """
    counts: dict[str | None, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    order = sorted(counts, key=lambda level: (-counts[level], level is None, level or ""))[:LEVELS_MAX]
    rows = np.array([counts[level] for level in order] + [len(values) - sum(counts[level] for level in order)])
    log_prob = np.log((rows + 0.5) / (len(values) + 0.5 * len(rows)))
    rare = len(counts) - len(order)
    log_prob[-1] -= np.log(rare + 1)
    return Levels(tuple(order), rare, log_prob)
