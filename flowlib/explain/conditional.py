"""The density of one feature given all the others, on a grid.

``p(x_j | x_-j) ∝ p(x_j, x_-j)``: the joint density along the line through the row, normalised. Two passes: a coarse
grid finds where the mass is, a fine one measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.density import Density
from flowlib.encoder.encoded import Encoded
from flowlib.encoder.fitting import tail_nats
from flowlib.table import Floats, Table

REACH = 15.0
"""Half the width of the coarse grid, scale units."""

COARSE, FINE = 121, 129
_NEGLIGIBLE = 16.0
"""Grid points this many nats below the highest hold about a ten-millionth of its mass."""


@dataclass(frozen=True)
class Conditional:
    """Densities of feature j given the others, for n rows, in feature space.

    Attributes:
        j: the column.
        grid: ``(n, g)`` ascending values of the feature.
        log_density: ``(n, g)`` nats; the density integrates to 1 over the grid.
        cdf: ``(n, g)`` from 0 to 1.
        observed: ``(n,)`` the feature, NaN where missing.
    """

    j: int
    grid: Floats
    log_density: Floats
    cdf: Floats
    observed: Floats

    def quantile(self, level: float) -> Floats:
        """``(n,)`` values of the feature below which a share ``level`` of the mass lies."""
        return np.array([np.interp(level, cdf, grid) for cdf, grid in zip(self.cdf, self.grid, strict=True)])

    def below(self) -> Floats:
        """``(n,)`` share of the mass below the observed value, NaN where missing."""
        rows = zip(self.observed, self.grid, self.cdf, strict=True)
        return np.array([np.nan if np.isnan(value) else np.interp(value, grid, cdf) for value, grid, cdf in rows])

    def mean_of(self, values: Floats) -> Floats:
        """``(n,)`` expectation of a function of the feature, its values on the grid ``(n, g)``."""
        middle = 0.5 * (values[:, 1:] + values[:, :-1])
        return np.asarray((np.diff(self.cdf, axis=1) * middle).sum(axis=1), dtype=np.float64)


def conditional(density: Density, table: Table, j: int) -> Conditional:
    """Density of numeric column ``j`` in each row given the rest of the row, context included.

    A missing value, or one that cannot be scored, is treated as present.
    """
    encoded, observed = _with_present(density, table, j)
    n = len(table)
    coarse = np.broadcast_to(np.linspace(-REACH, REACH, COARSE), (n, COARSE))
    log_joint = _along(density, encoded, j, coarse)
    fine = _around_mass(coarse, log_joint)
    log_joint = _along(density, encoded, j, fine)
    weight = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    step = np.diff(fine, axis=1)
    cells = 0.5 * (weight[:, 1:] + weight[:, :-1]) * step
    total = cells.sum(axis=1, keepdims=True)
    cdf = np.concatenate([np.zeros((n, 1)), np.cumsum(cells, axis=1) / total], axis=1)
    log_density = log_joint - log_joint.max(axis=1, keepdims=True) - np.log(total)
    return Conditional(j, fine, log_density, cdf, observed)


def _with_present(density: Density, table: Table, j: int) -> tuple[Encoded, Floats]:
    """The rows encoded with column ``j`` present and ordinary, and the feature as it was."""
    plain, raw = density.encoder.encode(table), table.numeric[:, j]
    observed = np.where(np.isinf(raw), raw, np.where(plain.scorable & ~np.isnan(raw), plain.features[:, j], np.nan))
    numeric = table.numeric.copy()
    numeric[:, j] = density.encoder.decode(np.zeros((1, numeric.shape[1])))[0, j]
    return density.encoder.encode(table.with_numeric(numeric)), observed


def _along(density: Density, encoded: Encoded, j: int, grid: Floats) -> Floats:
    """``(n, g)`` joint log-density in feature space with column ``j`` set to each value of the grid."""
    n, g = grid.shape
    features = np.repeat(encoded.features, g, axis=0)
    limit = density.encoder.limit[j]
    features[:, j] = np.clip(grid, -limit, limit).astype(np.float32).ravel()
    z, ladj = density.engine(features, np.repeat(encoded.context, g, axis=0))
    log_joint = (ladj.astype(np.float64) - 0.5 * z.astype(np.float64) ** 2).sum(axis=1)
    log_joint = log_joint - tail_nats(grid.ravel(), limit)
    return np.asarray(np.where(np.isfinite(log_joint), log_joint, -1e300).reshape(n, g))


def _around_mass(grid: Floats, log_joint: Floats) -> Floats:
    """``(n, FINE)`` evenly over the part of each row's grid with mass, one cell wider on each side."""
    holds = log_joint > log_joint.max(axis=1, keepdims=True) - _NEGLIGIBLE
    last = grid.shape[1] - 1
    low = np.maximum(holds.argmax(axis=1) - 1, 0)
    high = np.minimum(last - holds[:, ::-1].argmax(axis=1) + 1, last)
    rows = np.arange(len(grid))
    return np.linspace(grid[rows, low], grid[rows, high], FINE, axis=1)
