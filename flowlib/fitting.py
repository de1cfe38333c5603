"""How the encoder is fitted: the choice of a column's map, its limit, smoothed tables of categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowlib.columns import MAPS, ColumnMap, Standard
from flowlib.table import Floats, Objects

LEVELS_MAX = 256
"""Categories beyond the most frequent 256 share the unseen bucket."""

GAIN_MIN_NATS = 0.05
"""A map must be this much better on held-out values than a simpler one: less is lost in the noise of the flow's training."""

LIMIT_MIN, LIMIT_MAX = 10.0, 50.0
"""A column's limit is half as far out again as training went, and within these, in scale units: inside it the flow is
trusted, further out its extrapolation can make of any value a common one."""

_GAIN_A_ROW_MAX = (
    5.0  # nats: a handful of far-out rows may forbid a map but not choose one, nor drown the choice in noise
)
_CHOICE_ROWS_MAX = 20_000
_ROWS_MIN = 20
_CONSTANT = 1e-6


def fit_column(x: Floats, step: float, kinds: Sequence[str]) -> ColumnMap:
    """The map of one column, chosen by held-out likelihood and fitted on all values.

    Args:
        x: ``(n,)`` finite values.
        step: width of the cells the values are spread over first, 0 for none.
        kinds: candidates, the simpler ones first; where none of them applies it is ``standard``.
    """
    if not len(x):
        return Standard(np.zeros(1), np.ones(1))
    ignorable = _CONSTANT * float(np.abs(x).max())  # relative, so that a change of unit changes nothing but the unit
    if not x.std() > ignorable:
        return Standard(x[:1].copy(), np.array([ignorable or _CONSTANT]))
    generator = np.random.default_rng(0)
    order = generator.permutation(len(x))
    x = x + step * generator.uniform(-0.5, 0.5, len(x))
    kind = kinds[0] if len(kinds) == 1 or len(x) < _ROWS_MIN else _choose(x[order[:_CHOICE_ROWS_MAX]], kinds)
    return MAPS[kind].fit(x) or Standard.fit(x) or Standard(np.zeros(1), np.ones(1))


def _choose(x: Floats, kinds: Sequence[str]) -> str:
    """The simplest kind that no other beats by more than the margin and twice its standard error.

    Judged on distinct values: a value that repeats off any grid has no density, and would reward the steepest map.
    """
    x = x[np.sort(np.unique(x, return_index=True)[1])]
    fitted, held = x[::2], x[1::2]
    best, reference = "standard", held_out(MAPS["standard"], fitted, held)
    for kind in kinds:
        log_prob = held_out(MAPS[kind], fitted, held)
        if log_prob is None or MAPS[kind].fit(x) is None:
            continue
        if reference is None or best not in kinds:
            best, reference = kind, log_prob
        gain = np.minimum(log_prob - reference, _GAIN_A_ROW_MAX)
        if gain.mean() > max(GAIN_MIN_NATS, 2.0 * float(gain.std()) / np.sqrt(len(gain))):
            best, reference = kind, log_prob
    return best


def held_out(kind: type[ColumnMap], fitted: Floats, held: Floats) -> Floats | None:
    """Log-density, nats, of held-out values where the mapped ones are called standard normal; None if it does not apply."""
    column_map = kind.fit(fitted) if fitted.std() > 0 else None
    if column_map is None:
        return None
    value, slope = column_map.forward(held[:, None])
    return np.asarray((slope - 0.5 * value * value - 0.5 * np.log(2 * np.pi))[:, 0], dtype=np.float64)


def limits(maps: Sequence[ColumnMap], columns: Sequence[Floats]) -> Floats:
    """``(d,)`` limits of the features."""
    reached = [float(np.abs(m.forward(x[:, None])[0]).max(initial=0.0)) for m, x in zip(maps, columns, strict=True)]
    return np.clip(1.5 * np.array(reached, dtype=np.float64), LIMIT_MIN, LIMIT_MAX)


def tail_nats(value: Floats, limit: Floats) -> Floats:
    """What features beyond their limit pay, ``(n, d)`` nats ≥ 0, strictly increasing in the distance.

    The price is that of a standard normal up to 50 scale units and of a power law with the same slope from there on, so
    that even the largest number gives sums that can be reckoned with.
    """
    far = np.abs(value)
    if not (far > limit).any():
        return np.zeros_like(value)
    return np.where(far > limit, _price(np.maximum(far, limit)) - _price(limit), 0.0)


def _price(far: Floats) -> Floats:
    near = np.minimum(far, LIMIT_MAX)
    return 0.5 * near * near + LIMIT_MAX**2 * np.log(np.maximum(far, LIMIT_MAX) / LIMIT_MAX)


def fit_levels(values: Objects) -> tuple[tuple[str | None, ...], Floats]:
    """Known levels, most frequent first, and log probabilities smoothed by ½, the unseen bucket included."""
    counts: dict[str | None, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    order = sorted(counts, key=lambda level: (-counts[level], level is None, level or ""))[:LEVELS_MAX]
    known = np.array([counts[level] for level in order] + [len(values) - sum(counts[level] for level in order)])
    return tuple(order), np.log((known + 0.5) / (len(values) + 0.5 * len(known)))
