"""Intervals of means over rows that resemble their neighbours in time: whole blocks of rows are drawn again.

The circular block bootstrap draws runs of ℓ neighbouring blocks, ℓ = ⌈∛B⌉ of B (Künsch, Ann. Statist. 17, 1989;
Politis & Romano 1992, in *Exploring the Limits of Bootstrap*). Of a mean, the variance over all its draws is a sum over
the B runs, so none need be drawn, and no seed enters. Draws vary too little where blocks are few: their variance is
multiplied by B ∕ (B − ℓ), and quantiles are Student's (Hesterberg, The American Statistician 69, 2015). How often that
holds stands in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from flowlib.table import Bools, Floats, Ints

TWO_SIDED_95 = 0.975
"""Level of each end of a 95 % interval."""


@dataclass(frozen=True)
class Mean:
    """A mean and what blocks say of its error.

    Attributes:
        value: the mean over rows; NaN of none.
        error: standard error; infinite where there are fewer than two blocks.
        blocks: blocks with rows.

    >>> days = np.repeat(np.arange(8), 100)
    >>> of = mean(np.sin(np.arange(800.0)) + 1.0, days)
    >>> round(of.value, 2), [round(end, 1) for end in of.interval()]
    (1.0, [1.0, 1.0])
    """

    value: float
    error: float
    blocks: int

    def low(self, level: float = TWO_SIDED_95) -> float:
        """The mean is above this with the chance ``level``; −∞ where nothing can be said."""
        return self.value - self._half(level) if math.isfinite(self.error) else -math.inf

    def high(self, level: float = TWO_SIDED_95) -> float:
        """The mean is below this with the chance ``level``; ∞ where nothing can be said."""
        return self.value + self._half(level) if math.isfinite(self.error) else math.inf

    def interval(self) -> tuple[float, float]:
        """Both ends at 95 %."""
        return self.low(), self.high()

    def _half(self, level: float) -> float:
        return float(t.ppf(level, self.blocks - 1)) * self.error


def mean(values: Floats | Bools, blocks: Ints) -> Mean:
    """The mean of rows ``(n,)``, each of a block ``(n,)``; blocks are neighbours in the order of their numbers."""
    if not len(values):
        return Mean(math.nan, math.inf, 0)
    wide = np.asarray(values, dtype=np.float64)
    value = float(wide.mean())
    _, code = np.unique(blocks, return_inverse=True)
    sums: Floats = np.bincount(code, weights=wide - value).astype(np.float64)
    return Mean(value, math.sqrt(variance(sums)) / len(wide) if len(sums) > 1 else math.inf, len(sums))


def difference(ours: Bools, theirs: Bools, blocks: Ints) -> Mean:
    """The share of ``ours`` less that of ``theirs`` on the same rows ``(n,)``, paired."""
    return mean(ours.astype(np.float64) - theirs.astype(np.float64), blocks)


def variance(sums: Floats) -> float:
    """Variance of the sum of B ≥ 2 blocks, given each one's deviation ``(B,)``, by the circular block bootstrap.

    >>> variance(np.array([1.0, -1.0])), variance(np.array([1.0, 1.0, -1.0, -1.0]))
    (4.0, 8.0)
    """
    count = len(sums)
    length = min(math.ceil(round(count ** (1 / 3), 9)), count - 1)
    around = np.cumsum(np.concatenate([[0.0], sums, sums[: length - 1]]))
    runs = around[length:] - around[:-length]
    return float((runs**2).sum() / length * count / (count - length))
