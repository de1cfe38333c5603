"""The contract of the partials topic: the integer columns that a pane keeps for a slice, in one row.

Counts and fixed-point sums on int64 merge by ``+``, the smallest and largest value by ``min`` and ``max``: all exactly
associative and commutative, so a topic split over any number of partitions gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


ALPHAS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)
"""Levels at which p-values are counted (``p <= α``)."""

OTHER = "__other__"
"""Slice of the events whose own slice has no place among the ``windows.max_slices``."""

TOGETHER = "__all__"
"""Slice of what is about the sum of all slices."""

UNIT = 1_024
"""Event scores are counted in parts of one standard deviation, those of :data:`flowlib.channels.UNIT`."""

GROUPS = 9
"""Groups of a categorical column's levels, those of :data:`flowlib.channels.GROUPS`; the last: never seen."""

PAIRS_MAX = 64
"""Most pairs of columns, those of :func:`flowlib.channels.pairs_of` (a test holds both together)."""

NO_LOW, NO_HIGH = 0x7FF8 << 48, -(0x7FF8 << 48)
"""Smallest and largest value code of a pane without a value: codes are the bits of float64 numbers, and these those of
no number, beyond the infinities."""

LOG_PROB_CLIP = 32_768.0
"""Nats; log-likelihoods are clipped to ± this before they are summed."""

_SINGLE = frozenset(
    {"seen", "late", "unscorable", "coerced", "scored", "log_prob_sum", "log_prob_square_sum", "adaptive"}
)
"""Columns that hold one number for a slice."""

SUM_SCALE, SQUARE_SCALE = 2.0**16, 2.0**8
"""Parts of a nat, and of a squared nat, in which log-likelihoods are summed."""


@dataclass(frozen=True)
class PaneLayout:
    """Columns of a pane row for ``d`` numeric features and ``k`` categorical ones.

    The first block (``seen`` … ``high``) does not depend on the model; the rest does, and is never summed over two
    models: ``value`` sums values that the model centres and scales (:mod:`flowlib.reference.values`). ``low`` and
    ``high`` merge by min and max, all others by ``+``.

    >>> layout = PaneLayout(2)
    >>> rows = layout.blank(2)
    >>> rows[:, layout.columns["seen"]] = 3
    >>> layout.merge(rows, np.array([1]), rows[:1])
    >>> layout.get(rows, "seen").tolist()
    [3, 6]
    """

    d: int
    k: int = 0

    @cached_property
    def shapes(self) -> dict[str, int]:
        """Column name to width, in order."""
        return {
            "seen": 1,
            "late": 1,
            "unscorable": 1,
            "coerced": 1,
            "missing": self.d,
            "low": self.d,
            "high": self.d,
            "scored": 1,
            "log_prob_sum": 1,
            "log_prob_square_sum": 1,
            "p_le": len(ALPHAS),
            "adaptive": 1,
            "base": self.d + 1,
            "square": self.d + 1,
            "product": self.pairs,
            "group": self.k * GROUPS,
            "value": self.d,
        }

    @property
    def pairs(self) -> int:
        """Pairs of features whose dependence is watched."""
        return min(self.d * (self.d - 1) // 2, PAIRS_MAX)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Column name to its place in the row."""
        places, start = {}, 0
        for name, width in self.shapes.items():
            places[name] = slice(start, start + width)
            start += width
        return places

    @cached_property
    def width(self) -> int:
        """Length of a row."""
        return sum(self.shapes.values())

    @cached_property
    def model_free(self) -> int:
        """Columns before this index do not depend on the model."""
        return int(self.columns["scored"].start)

    def get(self, rows: Ints, name: str) -> Ints:
        """A named column of rows ``(…, w)``; columns that hold one number for a slice lose their last axis."""
        part = rows[..., self.columns[name]]
        return part[..., 0] if name in _SINGLE else part

    def blank(self, m: int) -> Ints:
        """Rows ``(m, w)`` of no events."""
        rows = np.zeros((m, self.width), dtype=np.int64)
        self.clear(rows)
        return rows

    def clear(self, rows: Ints) -> None:
        """Make rows ``(m, w)`` of zeros rows of no events."""
        rows[:, self.columns["low"]], rows[:, self.columns["high"]] = NO_LOW, NO_HIGH

    def merge(self, into: Ints, index: Ints, rows: Ints) -> None:
        """Merge rows ``(m, w)`` into others, at m distinct places."""
        low, high = self.columns["low"], self.columns["high"]
        merged = into[index] + rows
        merged[:, low] = np.minimum(into[index, low], rows[:, low])
        merged[:, high] = np.maximum(into[index, high], rows[:, high])
        into[index] = merged

    def merge_sorted(self, rows: Ints, first: Ints) -> Ints:
        """Merge runs of rows ``(n, w)``, each from one of the m places ``first`` to the next, into ``(m, w)``."""
        low, high = self.columns["low"], self.columns["high"]
        merged = np.add.reduceat(rows, first, axis=0)
        merged[:, low] = np.minimum.reduceat(rows[:, low], first, axis=0)
        merged[:, high] = np.maximum.reduceat(rows[:, high], first, axis=0)
        return np.asarray(merged)

    def encode(self, rows: Ints) -> dict[str, bytes]:
        """Rows ``(m, w)`` as little-endian bytes by column name."""
        little = rows.astype("<i8", copy=False)
        return {name: np.ascontiguousarray(little[:, place]).tobytes() for name, place in self.columns.items()}

    def encode_blocks(self, rows: Ints, sizes: list[int]) -> list[dict[str, bytes]]:
        """:meth:`encode` of rows ``(M, w)`` cut into blocks of these sizes, which add up to M."""
        columns = self.encode(rows)
        edges = np.concatenate(([0], np.cumsum(sizes))).tolist()
        step = {name: 8 * width for name, width in self.shapes.items()}
        return [
            {name: column[step[name] * first : step[name] * last] for name, column in columns.items()}
            for first, last in pairwise(edges)
        ]

    def decode(self, columns: dict[str, bytes], m: int) -> Ints:
        """Rows ``(m, w)`` from bytes; raises ValueError when a column is missing or of another shape."""
        rows = np.empty((m, self.width), dtype=np.int64)
        self.decode_into(rows, columns)
        return rows

    def decode_into(self, rows: Ints, columns: dict[str, bytes]) -> None:
        """:meth:`decode` into rows ``(m, w)``."""
        m = len(rows)
        for name, place in self.columns.items():
            values = np.frombuffer(columns.get(name, b""), dtype="<i8")
            if len(values) != m * self.shapes[name]:
                raise ValueError(f"column {name!r} has {len(values)} values, expected {m} x {self.shapes[name]}")
            rows[:, place] = values.reshape(m, self.shapes[name])


def fixed_sum(values: Floats) -> Ints:
    """Nats to fixed point, 2⁻¹⁶."""
    return np.rint(values * SUM_SCALE).astype(np.int64)


def fixed_square(values: Floats) -> Ints:
    """Squared nats to fixed point, 2⁻⁸."""
    return np.rint(values**2 * SQUARE_SCALE).astype(np.int64)


def log_prob_mean_sd(scored: Ints, total: Ints, squares: Ints) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the log-likelihood, nats, from its sums; NaN where nothing was scored."""
    n = np.where(scored > 0, scored, np.nan)
    mean = total / SUM_SCALE / n
    return mean, np.sqrt(np.maximum(squares / SQUARE_SCALE / n - mean**2, 0.0))
