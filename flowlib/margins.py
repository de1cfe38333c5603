"""How far out a row is in its columns alone: a robust measure that does not depend on training.

Each column is taken on the scale ``asinh((x − median) / spread)``, spread the interquartile range over 1.349: linear in
the middle, logarithmic in the tails. The distance is ½Σ of the squares, each column over its own mean deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from flowlib.table import Floats

_ROUNDING, _CONSTANT = 64 * 2.0**-52, 1e-9
"""A spread below the one is none; the other is that of a constant. Both relative to the largest value."""


@dataclass(frozen=True)
class Margins:
    """Scales of d columns.

    Attributes:
        centre, spread: ``(d,)`` of the raw column; spreads are positive.
        scale: ``(d,)`` mean absolute value on the asinh scale over that of a normal, √(2/π); positive.

    >>> margins = Margins.fit(np.random.default_rng(0).standard_normal((1_000, 2)))
    >>> margins.of(np.array([[0.0, 0.0], [5.0, np.nan]])).round(1)
    array([0. , 3.8])
    """

    centre: Floats
    spread: Floats
    scale: Floats

    @classmethod
    def fit(cls, numeric: Floats) -> Margins:
        """From training rows ``(n, d)``; values that are not finite are left out."""
        columns = [_fit_column(x[np.isfinite(x)]) for x in numeric.T]
        return cls(*(np.array(part, dtype=np.float64) for part in zip(*columns, strict=True)))

    def of(self, numeric: Floats) -> Floats:
        """``(n,)`` ≥ 0; values that are not finite add nothing."""
        finite = np.isfinite(numeric)
        far = np.arcsinh((np.where(finite, numeric, 0.0) - self.centre) / self.spread)
        return np.asarray(np.where(finite, 0.5 * (far / self.scale) ** 2, 0.0).sum(axis=1))

    def to_state(self) -> dict[str, Floats]:
        """Arrays, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, arrays: dict[str, Floats]) -> Margins:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit."""
        margins = cls(*(arrays[field.name] for field in fields(cls)))
        parts = list(margins.to_state().values())
        if any(a.ndim != 1 or a.shape != parts[0].shape or not np.isfinite(a).all() for a in parts):
            raise ValueError("margins: one finite number a column expected")
        if not ((margins.spread > 0).all() and (margins.scale > 0).all()):
            raise ValueError("margins: spreads and scales must be positive")
        return margins


def _fit_column(x: Floats) -> tuple[float, float, float]:
    """Centre, spread and scale; the spread is the deviation where quartiles coincide, and the value of a constant."""
    if not len(x):
        return 0.0, 1.0, 1.0
    low, centre, high = (float(q) for q in np.quantile(x, (0.25, 0.5, 0.75)))
    largest = float(np.abs(x).max())
    candidates = (high - low) / 1.349, float(x.std())
    spread = next((one for one in candidates if one > _ROUNDING * largest), _CONSTANT * largest or 1.0)
    scale = float(np.abs(np.arcsinh((x - centre) / spread)).mean()) * math.sqrt(math.pi / 2)
    return centre, spread, scale if scale > 1e-6 else 1.0
