"""Which columns lean, and which way: values that lie elsewhere than a model expects, given the columns before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from flowlib.flatness import distance
from flowlib.pit import PIT_BINS, pit_histogram
from flowlib.table import Bools, Floats, Ints, Singles

WAYS = ("lower", "higher", "closer to the middle", "further out")
"""Where values lie that lean, against what the model expects of them."""

LEAN_MIN = 0.1
"""Share of a column's values that lie elsewhere than they should, from which on it leans."""

_ERROR = 0.05
_SPREAD_SD = (1.0 / 48.0) ** 0.5
"""Standard deviation of the distance from ½ of a uniform number, whose own is twice as large."""


@dataclass(frozen=True)
class Lean:
    """A column that leans.

    Attributes:
        column: its name.
        way: of :data:`WAYS`, the one that is most pronounced.
        times: values in the fullest of the twenty bins of its PIT, for each one that should be there.
        is_sure: it leans beyond these groups of rows, at one error in twenty for all columns together.
    """

    column: str
    way: str
    times: float
    is_sure: bool


def leaning(columns: Sequence[str], pit: Singles, missing: Bools, groups: Ints) -> list[Lean]:
    """The columns that lean, the furthest first.

    Args:
        columns: d names.
        pit: ``(n, d)``.
        missing: ``(n, d)`` values that do not count.
        groups: ``(n,)`` group of each row (its day), the units of what is sure.

    >>> pit = np.random.default_rng(0).random((4_000, 3)).astype(np.float32) ** np.array([1.0, 2.0, 0.5], np.float32)
    >>> found = leaning(["a", "b", "c"], pit, np.zeros(pit.shape, bool), np.arange(4_000) // 40)
    >>> [(lean.column, lean.way, lean.is_sure) for lean in found]
    [('b', 'lower', True), ('c', 'higher', True)]
    """
    counts = pit_histogram(pit, missing)
    off, found = distance(counts), []
    for j in np.argsort(-off, kind="stable").tolist():
        if off[j] < LEAN_MIN:
            break
        here = ~missing[:, j]
        values = pit[here, j].astype(np.float64) - 0.5
        # Both in standard deviations of what they are where the model holds, so that they can be compared.
        sides = np.stack([values / (2.0 * _SPREAD_SD), (np.abs(values) - 0.25) / _SPREAD_SD])
        which = int(np.abs(sides.mean(axis=1)).argmax())
        way = WAYS[2 * which + int(sides[which].mean() > 0)]
        times = float(counts[j].max()) * PIT_BINS / float(counts[j].sum())
        found.append(Lean(columns[j], way, times, _is_sure(sides[which], groups[here], _ERROR / (2 * len(columns)))))
    return found


def _is_sure(values: Floats, groups: Ints, error: float) -> bool:
    """Whether the mean of values differs from 0, with groups as units (Liang & Zeger 1986) and Student's t."""
    _, codes = np.unique(groups, return_inverse=True)
    sums, n = np.bincount(codes, weights=values - values.mean()), len(values)
    m = len(sums)
    if m < 2:
        return False
    spread = float(np.sqrt((sums**2).sum() * m / (m - 1))) / n
    return abs(float(values.mean())) > float(student_t.isf(error / 2.0, m - 1)) * spread
