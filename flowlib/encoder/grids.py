"""The values that a column can take: what a draw is settled on, so that it looks like a value that was read.

Sensors and people round: most values of a column may lie on a coarse grid and the rest on a finer one (whole numbers
among converted units), and none lies outside of what can be read. A density knows neither; a classifier sees both. Of
columns with few values :mod:`flowlib.encoder.seen` knows each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import entr

from flowlib.encoder.seen import Seen
from flowlib.table import LARGEST, Bools, Floats, Singles

SHARE_MIN, GAIN_MIN_NATS = 0.5, 0.2
"""A coarse grid holds this share of a column's values at least, the most frequent one left out, and makes so many nats
less to tell a value: one that is too coarse has to tell too many on the finer one.
"""

_ROWS_MAX = 20_000
_ROWS_MIN = 20
_DECADES = 6
_TOLERANCE, _FINEST = 1e-6, 1e-6
_OF_COLUMNS = ("origin", "coarse", "share", "low", "high")


@dataclass(frozen=True)
class Grids:
    """What is known of each column's values.

    Attributes:
        origin: ``(d,)`` a value on the grids.
        coarse: ``(d,)`` step of the coarse grid, 0 for none.
        share: ``(d,)`` share of values on it.
        low, high: ``(d,)`` the smallest and the largest value seen.
        seen: the values that several rows had.

    >>> columns = [np.repeat([3.0, 4.0, 5.0, 2.25], [30, 20, 40, 10]), np.arange(50) / 10]
    >>> grids = Grids.fit(columns, np.array([0.25, 0.1]))
    >>> grids.coarse.tolist(), grids.share.tolist()
    ([1.0, 0.0], [0.9, 0.0])
    >>> grids.settled(np.array([[7.2, 1.234]]), np.array([0.25, 0.1]), np.random.default_rng(0)).round(3).tolist()
    [[5.0, 1.2]]
    """

    origin: Floats
    coarse: Floats
    share: Floats
    low: Floats
    high: Floats
    seen: Seen

    @classmethod
    def fit(cls, columns: Sequence[Floats], steps: Floats) -> Self:
        """Of the finite values of each column and the step of the grid that nearly all of them lie on, 0 for none."""
        found = [_fitted(x, float(step)) for x, step in zip(columns, steps, strict=True)]
        origin, coarse, share, low, high = (np.array([one[k] for one in found], dtype=np.float64) for k in range(5))
        return cls(origin, coarse, share, low, high, Seen.fit(columns))

    def settled(
        self,
        values: Floats,
        steps: Floats,
        rng: np.random.Generator,
        features: Singles | None = None,
        cells: tuple[Singles, Singles] | None = None,
    ) -> Floats:
        """Values ``(n, d)`` as they may have been read: as often on the coarse grid of their column as in training, one
        of the values seen or at the nearest point of the grid, and within what was seen.

        Args:
            values: draws.
            steps: ``(d,)`` of the fine grids, 0 for none.
            rng: draws.
            features: ``(n, d)`` the draws as features; without them none is taken for one of the values seen.
            cells: features at the ends of the cells of :meth:`Seen.table`, each ``(k, d)``.
        """
        uniform = rng.random(values.shape)
        nearest = self._nearest(values, np.where(uniform < self.share, self.coarse, steps))
        nearest = np.clip(nearest, self.low, self.high)
        if features is None or cells is None:
            return nearest
        meant = self.seen.meant(features, cells, self._is_coarse(), uniform, rng)
        return np.where(np.isnan(meant), nearest, meant)

    def _is_coarse(self) -> Bools:
        """``(m,)`` which of the values seen lie on the coarse grid of their column."""
        size, far = self.coarse[self.seen.column], self.seen.value - self.origin[self.seen.column]
        return (size > 0) & (np.abs(far / _some(size) - np.round(far / _some(size))) < _TOLERANCE)

    def on_finest(self, values: Floats, steps: Floats) -> Floats:
        """Values ``(n, d)`` at the nearest point of the grid that nearly all lie on: rows and draws that mean one value
        are one number then, to the last digit.
        """
        return self._nearest(values, np.broadcast_to(steps, values.shape))

    def _nearest(self, values: Floats, step: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # gaps stay gaps
            # Counted from 0 where the origin is on the grid that 0 is on: 0.1 is then 0.1, not a sum of two others.
            offset = self.origin - np.round(self.origin / _some(step)) * step
            offset = np.where(np.abs(offset) < _TOLERANCE * step, 0.0, offset)
            nearest = _multiple(np.round((values - offset) / _some(step)), step) + offset
            return np.where(step > 0, nearest, values)

    def arrays(self) -> dict[str, Any]:
        """For the artifact."""
        return {f"grid.{name}": getattr(self, name) for name in _OF_COLUMNS} | self.seen.arrays()

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], d: int) -> Self:
        """Inverse of :meth:`arrays`; raises ValueError or KeyError on parts that do not fit ``d`` columns."""
        of_columns = {name: arrays[f"grid.{name}"] for name in _OF_COLUMNS}
        grids = cls(**of_columns, seen=Seen.of_arrays(arrays, d))
        if any(a.shape != (d,) or a.dtype != np.float64 or not np.isfinite(a).all() for a in of_columns.values()):
            raise ValueError("encoder: parts of the grids must be finite float64, one for each column")
        if not ((grids.coarse >= 0).all() and (grids.share >= 0).all() and (grids.share <= 1).all()):
            raise ValueError("encoder: coarse grids must have steps of at least 0 and shares within [0, 1]")
        if (grids.low > grids.high).any():
            raise ValueError("encoder: the smallest value of a column must not be above its largest")
        return grids


def _some(step: Floats) -> Floats:
    return np.where(step > 0, step, 1.0)


def _multiple(count: Floats, step: Floats) -> Floats:
    """``count · step`` in as few digits as the step has: thirteen tenths are 1.3, not 1.3000000000000003."""
    whole = np.round(1.0 / _some(step))
    is_part = (whole > 1) & (np.abs(whole * step - 1.0) < _TOLERANCE)
    return np.where(is_part, count / np.where(is_part, whole, 1.0), count * step)


def _fitted(x: Floats, step: float) -> tuple[float, float, float, float, float]:
    if not len(x):
        return 0.0, 0.0, 0.0, -LARGEST, LARGEST
    values, counts = np.unique(x, return_counts=True)
    origin, low, high = float(values[counts.argmax()]), float(values[0]), float(values[-1])
    some = x[:: max(1, len(x) // _ROWS_MAX)]
    others = some[some != origin] - origin
    if len(others) < _ROWS_MIN or high - low < _TOLERANCE * max(abs(low), abs(high)):
        return origin, 0.0, 0.0, low, high
    fine = step or _FINEST * (high - low)
    best, coarse = float(-np.log(fine)) - GAIN_MIN_NATS, 0.0
    top = int(np.floor(np.log10(high - low)))
    for size in (10.0**k * unit for k in range(top, top - _DECADES, -1) for unit in (5.0, 2.0, 1.0)):
        on = _on(others, size)
        if size > 1.5 * fine and on >= SHARE_MIN:
            cost = -on * np.log(size) - (1.0 - on) * np.log(fine) + float(entr([on, 1.0 - on]).sum())
            best, coarse = (cost, size) if cost < best else (best, coarse)
    return origin, coarse, _on(some - origin, coarse) if coarse else 0.0, low, high


def _on(values: Floats, size: float) -> float:
    """Share of values that are multiples."""
    return float(np.mean(np.abs(values / size - np.round(values / size)) < _TOLERANCE))
