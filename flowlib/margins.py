"""How far out a row is in its columns alone: a fixed, robust measure that no training can bend.

Each column is taken on the scale ``asinh((x − median) / spread)``, spread the interquartile range over 1.349 (that of a
normal is 1): linear in the middle, logarithmic in the tails, so that one long-tailed column does not speak for all. The
margin is ½Σ of its squares, each column over its own mean deviation. Anomalies among the training rows move all of these
little, while a flow, and the encoder's quantile maps, learn to expect them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from flowlib.table import Floats, Singles


@dataclass(frozen=True)
class Margins:
    """Scales of d columns.

    Attributes:
        centre, spread: ``(d,)`` of the raw column; spreads are positive.
        scale: ``(d,)`` mean absolute value on the asinh scale over that of a normal, √(2/π); positive.
    """

    centre: Floats
    spread: Floats
    scale: Floats

    @classmethod
    def fit(cls, numeric: Singles) -> Margins:
        """From training rows ``(n, d)``, NaN for missing; what is not finite is left out."""
        columns = [_fit_column(x[np.isfinite(x)]) for x in numeric.astype(np.float64).T]
        return cls(*(np.array(part, dtype=np.float64) for part in zip(*columns, strict=True)))

    def of(self, numeric: Singles) -> Floats:
        """``(n,)`` ≥ 0; columns that are missing or not finite add nothing."""
        x = numeric.astype(np.float64)
        seen = np.isfinite(x)
        far = np.arcsinh((np.where(seen, x, 0.0) - self.centre) / self.spread)
        return np.asarray(np.where(seen, 0.5 * (far / self.scale) ** 2, 0.0).sum(axis=1))

    def to_state(self) -> dict[str, Floats]:
        """Arrays, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, arrays: dict[str, Floats]) -> Margins:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError when the parts do not fit."""
        made = cls(*(arrays[field.name] for field in fields(cls)))
        parts = list(made.to_state().values())
        if any(a.ndim != 1 or a.shape != parts[0].shape or not np.isfinite(a).all() for a in parts):
            raise ValueError("margins: one finite number a column expected")
        if not ((made.spread > 0).all() and (made.scale > 0).all()):
            raise ValueError("margins: spreads and scales must be positive")
        return made


def _fit_column(x: Floats) -> tuple[float, float, float]:
    """Where half of the values are one, the deviation takes the place of the quartiles; a constant has the scale of itself."""
    if not len(x):
        return 0.0, 1.0, 1.0
    low, centre, high = (float(q) for q in np.quantile(x, (0.25, 0.5, 0.75)))
    ignorable = 1e-6 * float(np.abs(x).max())
    spread = next((s for s in ((high - low) / 1.349, float(x.std())) if s > ignorable), ignorable or 1.0)
    scale = float(np.abs(np.arcsinh((x - centre) / spread)).mean()) * math.sqrt(math.pi / 2)
    return centre, spread, scale if scale > 1e-6 else 1.0
