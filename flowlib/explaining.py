"""Which column made a row strange, and what was to be expected there instead.

*Blame* of a column is how much more likely the row would be with an ordinary value in it: log-likelihood gained, in nats.
With faults injected into three data sets the column at fault gets the largest blame twice as often as with the parts of
the autoregressive factorisation, which tell where in an arbitrary order the row leaves the model. The parts
(:attr:`flowlib.density.Scores.parts`) are the exact account: they add up to the log-likelihood. Both are given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from flowlib.conditional import conditional
from flowlib.density import Density, Scores
from flowlib.encoding import Encoded
from flowlib.table import Floats, Table

BAND = (0.05, 0.95)
_LEVELS_TRIED = 3
_ROWS = 512


@dataclass(frozen=True)
class Expectation:
    """What one numeric column was to be, given the rest of each of n rows; raw units.

    Attributes:
        name: the column.
        observed: ``(n,)``, NaN where missing.
        median, mean: ``(n,)``.
        low, high: ``(n,)`` ends of the 5-95 % band.
        beyond: ``(n,)`` probability of a value at least as far out on the observed one's side; NaN where missing.
    """

    name: str
    observed: Floats
    median: Floats
    mean: Floats
    low: Floats
    high: Floats
    beyond: Floats

    def sentence(self, i: int = 0) -> str:
        """Row ``i`` for people: "PM10 was 812, expected 40 to 130 given the rest"."""
        band = f"expected {self.low[i]:.4g} to {self.high[i]:.4g} given the rest"
        if np.isnan(self.observed[i]):
            return f"{self.name} was missing, {band}"
        return f"{self.name} was {self.observed[i]:.4g}, {band}"


def blame(density: Density, table: Table) -> Floats:
    """Log-likelihood gained by putting an ordinary value into each column, ``(n, d + k)`` nats, never below 0.

    Ordinary are the 20, 50 and 80 % quantiles of the calibration rows and the three most frequent categories; the best
    of them counts. 0 where a numeric value is missing and where a row cannot be scored. A row's result does not depend
    on the rows beside it. Costs ``3 (d + k)`` evaluations a row, so it is meant for the rows that are flagged.
    """
    chunks = [
        _blame(density, table.take(np.arange(i, min(i + _ROWS, len(table))))) for i in range(0, len(table), _ROWS)
    ]
    spec = density.spec
    return np.concatenate(chunks) if chunks else np.zeros((0, len(spec.numeric) + len(spec.categorical)))


def _blame(density: Density, table: Table) -> Floats:
    encoded = density.encoder.encode(table)
    d, k = len(density.spec.numeric), len(density.spec.categorical)
    variants = list(chain(_ordinary_values(density, encoded), _ordinary_categories(density, table)))
    joint = _joint(density, [encoded, *(variant for _, variant in variants)])
    gain = np.zeros((len(table), d + k))
    for (column, _), value in zip(variants, joint[1:], strict=True):
        gain[:, column] = np.maximum(gain[:, column], value - joint[0])
    gain[:, :d][encoded.missing] = 0.0
    return np.asarray(np.where(encoded.scorable[:, None] & np.isfinite(gain), gain, 0.0))


def _ordinary_values(density: Density, encoded: Encoded) -> list[tuple[int, Encoded]]:
    """The rows with one feature replaced, for each feature and ordinary value."""
    variants = []
    for j, values in enumerate(density.calibration.ordinary.T):
        for value in values:
            features = encoded.features.copy()
            features[:, j] = value
            variants.append((j, replace(encoded, features=features)))
    return variants


def _ordinary_categories(density: Density, table: Table) -> list[tuple[int, Encoded]]:
    d, variants = len(density.spec.numeric), []
    for k, levels in enumerate(density.encoder.levels):
        for level in levels[:_LEVELS_TRIED]:
            categories = table.categories.copy()
            categories[:, k] = level
            replaced = Table(table.numeric, categories, table.slices, table.time_ms)
            variants.append((d + k, density.encoder.encode(replaced)))
    return variants


def _joint(density: Density, variants: list[Encoded]) -> Floats:
    """``(v, n)`` log-densities of all variants of n rows in feature space, in as few calls as there are chunks."""
    z, ladj = density.engine(
        np.concatenate([variant.features for variant in variants]),
        np.concatenate([variant.context for variant in variants]),
    )
    flow = (ladj.astype(np.float64) - 0.5 * z.astype(np.float64) ** 2).sum(axis=1).reshape(len(variants), -1)
    return np.asarray(flow + np.stack([variant.category_log_prob.sum(axis=1) for variant in variants]))


def excess(scores: Scores, density: Density) -> Floats:
    """How much less likely than usual each column made the rows: mean part of the calibration rows minus the part.

    ``(n, d + k)`` nats; they add up to ``mean log-likelihood − log-likelihood``. 0 where a row cannot be scored.
    """
    return np.asarray(np.where(scores.scorable[:, None], density.calibration.parts_mean - scores.parts, 0.0))


def expected(density: Density, table: Table, column: str | int) -> Expectation:
    """What a numeric column was to be in each row, given the rest of the row.

    Args:
        density: the model.
        table: n rows; every other column may miss values too.
        column: name or position of a numeric column.

    Raises:
        ValueError: no such numeric column.
    """
    names = density.spec.numeric
    if column not in names and column not in range(len(names)):
        raise ValueError(f"there is no numeric column {column!r}; there are: {', '.join(names)}")
    j = column if isinstance(column, int) else names.index(column)
    given = conditional(density, table, j)
    raw = _raw(density, j, np.column_stack([given.quantile(level) for level in (0.5, *BAND)]))
    below = given.below()
    return Expectation(
        names[j], table.numeric[:, j].astype(np.float64), raw[:, 0], given.mean_of(_raw(density, j, given.grid)),
        raw[:, 1], raw[:, 2], np.minimum(below, 1.0 - below),
    )  # fmt: skip


def _raw(density: Density, j: int, feature: Floats) -> Floats:
    """Values of feature ``j``, any shape, in raw units."""
    columns = np.zeros((feature.size, len(density.spec.numeric)))
    columns[:, j] = feature.ravel()
    return density.encoder.inverse(columns)[:, j].reshape(feature.shape)
