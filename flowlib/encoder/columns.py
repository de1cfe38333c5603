"""Strictly increasing maps of single columns to roughly standard-normal features.

An instance maps m columns of one kind at once; its parameters are ``(m,)`` or ``(m, K)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np
from scipy.special import ndtr, ndtri

from flowlib.table import Floats

KNOTS = 25
_ROWS_A_KNOT = 50
_TAIL_SHARE, _TAIL_ROWS = 0.005, 10
_GAP_MIN = 0.01
"""Least distance of knots, as a share of the interquartile range of the distinct values."""

_UNIT_MIN = 1e-4
"""Least unit of asinh, in standard deviations."""
_EXPONENT_MAX = 350.0
"""Of a raw value and its square both are finite then: a feature pushed far out comes back as a huge number."""


@dataclass(frozen=True)
class ColumnMap(ABC):
    """m columns of one kind.

    Attributes:
        shift, scale: ``(m,)`` of the transformed value; scales are positive.
    """

    shift: Floats
    scale: Floats
    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, x: Floats) -> Self | None:
        """Fit one column on ``(n,)`` finite values, not all equal; None where the kind does not apply."""

    @abstractmethod
    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """Raw ``(n, m)`` to value and log |d value / d x|, both ``(n, m)``."""

    @abstractmethod
    def inverse(self, value: Floats) -> Floats:
        """Value ``(n, m)`` back to raw."""

    @classmethod
    def stack(cls, maps: Sequence[ColumnMap]) -> Self:
        """Several maps of this kind as one."""
        return cls(*(np.concatenate([getattr(one, field.name) for one in maps]) for field in fields(cls)))

    def arrays(self) -> dict[str, Floats]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def check(self, m: int) -> None:
        """Raise ValueError on parameters that are not those of m columns of this kind."""
        for name, array in self.arrays().items():
            if array.dtype != np.float64 or array.shape[:1] != (m,) or array.ndim != 1 or not np.isfinite(array).all():
                raise ValueError(
                    f"encoder: {self.kind} {name} must be finite float64 of shape ({m},), got {array.shape}"
                )
        for name in {"scale", "unit", "floor"} & set(self.arrays()):
            if not (self.arrays()[name] > 0).all():
                raise ValueError(f"encoder: {self.kind} {name} must be positive")


@dataclass(frozen=True)
class Standard(ColumnMap):
    """``(x − mean) / sd``."""

    kind: ClassVar[str] = "standard"

    @classmethod
    def fit(cls, x: Floats) -> Self | None:
        """Always applies."""
        return cls(*moments(x))

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """See :meth:`ColumnMap.forward`."""
        return (x - self.shift) / self.scale, np.broadcast_to(-np.log(self.scale), x.shape)

    def inverse(self, value: Floats) -> Floats:
        """See :meth:`ColumnMap.inverse`."""
        return value * self.scale + self.shift


@dataclass(frozen=True)
class Robust(Standard):
    """``(x − median) / (IQR / 1.349)``."""

    kind: ClassVar[str] = "robust"

    @classmethod
    def fit(cls, x: Floats) -> Self | None:
        """None where half of the values are equal."""
        low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
        spread = (high - low) / 1.349
        return cls(np.array([middle]), np.array([spread])) if spread > 1e-6 * x.std() else None


@dataclass(frozen=True)
class Log(ColumnMap):
    """``(log x − shift) / scale`` above a floor, its tangent below.

    Attributes:
        floor: ``(m,)`` the smallest training value.
    """

    floor: Floats
    kind: ClassVar[str] = "log"

    @classmethod
    def fit(cls, x: Floats) -> Self | None:
        """None where a value is not positive."""
        low = float(x.min())
        return cls(*moments(np.log(x)), np.array([low])) if low > 0 else None

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """See :meth:`ColumnMap.forward`."""
        above = np.maximum(x, self.floor)
        logs = np.log(above)
        extended = logs + np.minimum(x - self.floor, 0.0) / self.floor
        return (extended - self.shift) / self.scale, -logs - np.log(self.scale)

    def inverse(self, value: Floats) -> Floats:
        """See :meth:`ColumnMap.inverse`."""
        logs = np.minimum(value * self.scale + self.shift, _EXPONENT_MAX)
        beyond = logs - np.log(self.floor)
        return np.where(beyond >= 0, np.exp(np.where(beyond >= 0, logs, 0.0)), self.floor * (1.0 + beyond))


@dataclass(frozen=True)
class Asinh(ColumnMap):
    """``(asinh((x − centre) / unit) − shift) / scale``: linear near the centre, logarithmic far out.

    Attributes:
        centre, unit: ``(m,)``; the centre of a non-negative column is 0.
    """

    centre: Floats
    unit: Floats
    kind: ClassVar[str] = "asinh"

    @classmethod
    def fit(cls, x: Floats) -> Self | None:
        """Unit: tenth percentile of the distinct positive values; if some are negative, a robust deviation."""
        distinct, centre = np.unique(x), 0.0
        if (x < -0.01 * x.std()).mean() < 0.001:  # dequantized zeros lie a little below
            positive = distinct[distinct > 0]
            unit = float(np.quantile(positive, 0.1)) if len(positive) else 0.0
        else:
            centre = float(np.median(x))
            unit = float(np.median(np.abs(distinct - centre))) / 0.6745
        unit = max(unit, _UNIT_MIN * float(x.std()))
        return cls(*moments(np.arcsinh((x - centre) / unit)), np.array([centre]), np.array([unit]))

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """See :meth:`ColumnMap.forward`."""
        far = (x - self.centre) / self.unit
        slope = -np.log(self.unit * self.scale) - 0.5 * np.log1p(far * far)
        return (np.arcsinh(far) - self.shift) / self.scale, slope

    def inverse(self, value: Floats) -> Floats:
        """See :meth:`ColumnMap.inverse`."""
        far = np.clip(value * self.scale + self.shift, -_EXPONENT_MAX, _EXPONENT_MAX)
        return np.sinh(far) * self.unit + self.centre


@dataclass(frozen=True)
class Quantile(ColumnMap):
    """Quantiles to normal scores by a monotone rational-quadratic spline, linear beyond the outermost knots.

    Gregory & Delbourgo, IMA J. Numer. Anal. 2 (1982), in the form of Durkan et al., arXiv 1906.04032, eq. 4-8. The
    slope of a tail gives the values beyond its knot the mean excess of a standard normal.

    Attributes:
        shift, scale: ``(m,)``; knots lie at ``shift + scale · knots``.
        knots, scores, slopes: ``(m, K)`` ascending knots, their normal scores, the derivatives there.
    """

    knots: Floats
    scores: Floats
    slopes: Floats
    kind: ClassVar[str] = "quantile"

    @classmethod
    def fit(cls, x: Floats) -> Self | None:
        """Knots at evenly spaced normal scores; None with fewer than 250 values or four knots."""
        if len(x) < 5 * _ROWS_A_KNOT:
            return None
        shift, scale = moments(x)
        ordered = np.sort((x - shift) / scale)
        end = -float(ndtri(max(_TAIL_SHARE, _TAIL_ROWS / len(x))))
        knots, scores = _knots(ordered, np.linspace(-end, end, min(KNOTS, len(x) // _ROWS_A_KNOT)))
        if len(knots) < 4:
            return None
        low, high = _tail_slope(-ordered[::-1], -knots[0], -scores[0]), _tail_slope(ordered, knots[-1], scores[-1])
        inner = np.diff(scores) / np.diff(knots)
        middle = 2.0 / (1.0 / inner[:-1] + 1.0 / inner[1:])
        slopes = np.concatenate([[low], middle, [high]])
        more = np.arange(1, KNOTS - len(knots) + 1)  # further knots on the line of the upper tail change nothing
        knots, scores = np.append(knots, knots[-1] + more), np.append(scores, scores[-1] + high * more)
        slopes = np.append(slopes, np.full(len(more), high))
        return cls(shift, scale, knots[None], scores[None], slopes[None])

    def check(self, m: int) -> None:
        """See :meth:`ColumnMap.check`."""
        Standard(self.shift, self.scale).check(m)
        parts, shape = (self.knots, self.scores, self.slopes), (m, self.knots.shape[-1])
        if any(a.dtype != np.float64 or a.shape != shape or not np.isfinite(a).all() for a in parts) or shape[1] < 2:
            raise ValueError(f"encoder: quantile knots must be finite float64 of shape ({m}, K)")
        if not ((np.diff(self.knots) > 0).all() and (np.diff(self.scores) > 0).all() and (self.slopes > 0).all()):
            raise ValueError("encoder: quantile knots and scores must ascend and slopes be positive")

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """See :meth:`ColumnMap.forward`."""
        u = (x - self.shift) / self.scale
        left, right, y0, rise, d0, d1 = self._bins(u, self.knots)
        width = right - left
        chord = rise / width
        t = np.clip((u - left) / width, 0.0, 1.0)
        both = t * (1.0 - t)
        bottom = chord + (d1 + d0 - 2.0 * chord) * both
        value = y0 + rise * (chord * t * t + d0 * both) / bottom
        top = d1 * t * t + 2.0 * chord * both + d0 * (1.0 - t) ** 2
        below, above = np.minimum(u - left, 0.0), np.maximum(u - right, 0.0)
        slope = np.log(top) + 2.0 * np.log(chord / bottom) - np.log(self.scale)
        return value + below * d0 + above * d1, slope

    def inverse(self, value: Floats) -> Floats:
        """See :meth:`ColumnMap.inverse`."""
        left, right, y0, rise, d0, d1 = self._bins(value, self.scores)
        width, up = right - left, np.clip(value - y0, 0.0, rise)
        chord = rise / width
        bend = up * (d1 + d0 - 2.0 * chord)
        a, b, c = rise * (chord - d0) + bend, rise * d0 - bend, -chord * up
        t = 2.0 * c / (-b - np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0)))
        below, above = np.minimum(value - y0, 0.0), np.maximum(value - y0 - rise, 0.0)
        return (left + t * width + below / d0 + above / d1) * self.scale + self.shift

    def _bins(self, u: Floats, edges: Floats) -> tuple[Floats, ...]:
        """Of each value's bin: left and right knot, lower score, rise, slopes at the ends."""
        index = np.empty(u.shape, dtype=np.int64)
        for j, knots in enumerate(edges):
            index[:, j] = np.searchsorted(knots[1:-1], u[:, j], side="right")
        index += np.arange(len(edges)) * edges.shape[1]
        left, right = self.knots.ravel()[index], self.knots.ravel()[index + 1]
        low, high = self.scores.ravel()[index], self.scores.ravel()[index + 1]
        return left, right, low, high - low, self.slopes.ravel()[index], self.slopes.ravel()[index + 1]


MAPS: dict[str, type[ColumnMap]] = {kind.kind: kind for kind in (Standard, Robust, Log, Asinh, Quantile)}
"""Kinds by name, the simpler ones first."""


def moments(x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of ``(n,)`` values, each ``(1,)``."""
    return np.array([x.mean()]), np.array([max(float(x.std()), 1e-300)])


def _knots(ordered: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Quantiles at normal scores; those closer together than a gap are one knot, at the mean of their scores."""
    quantiles = np.quantile(ordered, ndtr(scores))
    low, high = np.quantile(np.unique(ordered), (0.25, 0.75))
    gap = _GAP_MIN * max(float(high - low), 0.01)
    starts = [0]
    for k in range(1, len(quantiles)):
        if quantiles[k] - quantiles[starts[-1]] > gap:
            starts.append(k)
    runs = np.split(scores, starts[1:])
    return quantiles[starts], np.array([run.mean() for run in runs])


def _tail_slope(ordered: Floats, knot: float, score: float) -> float:
    """Slope that gives the values above a knot the mean excess of a standard normal above its score."""
    beyond = ordered[ordered > knot] - knot
    normal = float(np.exp(-0.5 * score * score) / np.sqrt(2 * np.pi) / ndtr(-score)) - score
    return normal / max(float(beyond.mean()), _GAP_MIN) if len(beyond) else 1.0
