"""Values that several rows share: what a draw is taken for, so that a column has the values that it had.

Readings are rounded to so many digits, counted in units of their own, cut off at an end: what has been seen twice comes
again, and what lies between does not. Training blurs values, so a draw is a value and some noise: which value follows
by Bayes' rule from how often each was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flowlib.table import Bools, Floats, Ints, Singles

VALUES_MAX = 256
"""Of a column, the most frequent ones."""

ALL_MAX = VALUES_MAX * 256
"""Of all columns: of more than 256 each has fewer, so that a wide model stays small enough to be published."""

SHARE_MIN, ATOM_MIN = 0.5, 0.01
"""Share of a column's rows that have one of these values; with fewer only values that so many have alone count."""

BLUR = 0.1
"""Standard deviation of what lies between a value and its draw, in scale units of the features."""

_NEAR = 3.0
"""What is near by, in blurs: more than lies between the values of a coarse grid."""

_MOST = 6.0
"""Scale units that most rows of a column lie within."""

_ROWS = 1_024


@dataclass(frozen=True)
class Seen:
    """The values of d columns that several training rows had.

    Attributes:
        column: ``(m,)`` int64, of each value, ascending.
        value: ``(m,)`` ascending within a column.
        rows: ``(m,)`` int64, how many had it.
        others: ``(d,)`` int64, rows with another value.

    >>> seen = Seen.fit([np.repeat([0.0, 0.5, 7.25], [60, 30, 10]), np.arange(100) / 7])
    >>> seen.value.tolist(), seen.rows.tolist(), seen.others.tolist()
    ([0.0, 0.5, 7.25], [60, 30, 10], [0, 100])
    """

    column: Ints
    value: Floats
    rows: Ints
    others: Ints

    @classmethod
    def fit(cls, columns: Sequence[Floats]) -> Self:
        """Of the finite values of each column."""
        most = min(VALUES_MAX, ALL_MAX // max(len(columns), 1))
        found = [_repeated(x, most) for x in columns]
        return cls(
            np.repeat(np.arange(len(found)), [len(values) for values, _ in found]).astype(np.int64),
            np.concatenate([np.zeros(0), *(values for values, _ in found)]),
            np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in found)]),
            np.array([len(x) - rows.sum() for x, (_, rows) in zip(columns, found, strict=True)], dtype=np.int64),
        )

    def without(self, columns: Ints) -> Seen:
        """The same with no value of these columns: all their rows have others."""
        leaves = np.isin(self.column, columns)
        rows = np.bincount(self.column[leaves], self.rows[leaves], len(self.others)).astype(np.int64)
        return Seen(self.column[~leaves], self.value[~leaves], self.rows[~leaves], self.others + rows)

    def table(self) -> Floats:
        """``(k, d)`` the values below each other, for a map of whole rows; 0 below the last one of a column."""
        values = np.zeros((int(self._counts.max(initial=0)), len(self.others)))
        values[self._place, self.column] = self.value
        return values

    def meant(
        self,
        features: Singles,
        cells: tuple[Singles, Singles],
        coarse: Bools,
        uniform: Floats,
        rng: np.random.Generator,
    ) -> Floats:
        """``(n, d)`` the value that each draw stands for, NaN where it is none of these.

        Args:
            features: ``(n, d)`` draws.
            cells: features at the ends of the cells of :meth:`table`, each ``(k, d)``.
            coarse: ``(m,)`` which values lie on the coarse grid of their column; as many draws do as of the rows near
                by, wherever between two values they lie.
            uniform: ``(n, d)`` in [0, 1): says which.
            rng: draws among the values that it may be.
        """
        meant = np.full(features.shape, np.nan)
        for j in np.unique(self.column):
            here = self.column == j
            low, high = (end[: here.sum(), j].astype(np.float64) for end in cells)
            # Rows lie evenly in their cells and blurred beyond; another value anywhere between the outermost cells,
            # or where most rows lie.
            width = np.append(high - low + np.sqrt(2.0 * np.pi) * BLUR, max(high.max() - low.min(), _MOST))
            prior = np.log(np.append(self.rows[here], self.others[j] + 1e-9) / width)
            value, on = np.append(self.value[here], np.nan), coarse[here]
            for start in range(0, len(features), _ROWS):
                part = slice(start, start + _ROWS)
                drawn = features[part, [j]]
                far = np.maximum(np.maximum(low - drawn, drawn - high), 0.0) / BLUR
                weight = prior + np.pad(-0.5 * far * far, [(0, 0), (0, 1)])
                if on.any():
                    near = np.exp(-0.5 * (far / _NEAR) ** 2) * self.rows[here] + 1e-300
                    is_coarse = uniform[part, [j]] * near.sum(axis=1, keepdims=True) < near[:, on].sum(axis=1)[:, None]
                    weight[:, :-1] = np.where(is_coarse == on, weight[:, :-1], -np.inf)
                # The largest of these sums is a draw by the weights (Gumbel 1954).
                meant[part, j] = value[(weight + rng.gumbel(size=weight.shape)).argmax(axis=1)]
        return meant

    def arrays(self) -> dict[str, Any]:
        """For the artifact."""
        return {f"seen.{name}": array for name, array in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], d: int) -> Self:
        """Inverse of :meth:`arrays`; raises ValueError or KeyError on parts that do not fit ``d`` columns."""
        seen = cls(*(arrays[f"seen.{name}"] for name in cls.__dataclass_fields__))
        shape, whole = seen.value.shape, (seen.column, seen.rows, seen.others)
        if any(a.dtype != np.int64 for a in whole) or seen.value.dtype != np.float64 or len(shape) != 1:
            raise ValueError("encoder: values seen must be float64, with columns and rows in int64")
        if seen.column.shape != shape or seen.rows.shape != shape or seen.others.shape != (d,):
            raise ValueError("encoder: values seen need a column and a number of rows each, others one of each column")
        is_ordered = (np.diff(seen.column) >= 0).all() and ((seen.column >= 0) & (seen.column < d)).all()
        if not (is_ordered and np.isfinite(seen.value).all() and (seen.rows > 0).all() and (seen.others >= 0).all()):
            raise ValueError("encoder: values seen must be finite, in the order of the columns, and of rows")
        return seen

    @property
    def _counts(self) -> Ints:
        return np.bincount(self.column, minlength=len(self.others)).astype(np.int64)

    @property
    def _place(self) -> Ints:
        """Of each value among those of its column."""
        counts = self._counts
        return np.arange(len(self.column)) - np.repeat(np.cumsum(counts) - counts, counts)


def _repeated(x: Floats, most: int) -> tuple[Floats, Ints]:
    values, rows = np.unique(x, return_counts=True)
    kept = np.argsort(-rows, kind="stable")[: min(most, int((rows > 1).sum()))]
    if rows[kept].sum() < SHARE_MIN * len(x):
        kept = kept[rows[kept] >= ATOM_MIN * len(x)]
    kept = np.sort(kept)
    return values[kept], rows[kept].astype(np.int64)
