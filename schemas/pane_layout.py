"""The contract of the partials topic: the additive integer columns that a pane keeps for a slice, in one row.

Counts and fixed-point sums on int64: merging is ``+``, exactly associative and commutative, so a topic split over any
number of partitions gives the same bytes.
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
"""Slice of the events whose own slice came after ``windows.max_slices`` others."""

PIT_BINS = 20
"""Bins of a PIT histogram, those of :data:`flowlib.calibration.PIT_BINS` (a test holds the two together)."""

BETS = (-1.8, -1.4, -1.0, -0.5, 0.5, 1.0, 1.4, 1.8)
"""Grid of ε for the bets ``1 + ε(p − ½)``: negative ε gains from small p (strange), positive from large (too
likely).
"""

LOG_PROB_CLIP = 32_768.0
"""Nats; log-likelihoods are clipped to ± this before they are summed."""

_SUM_SCALE = 2.0**16
_SQUARE_SCALE = 2.0**8


@dataclass(frozen=True)
class PaneLayout:
    """Columns of a pane row for ``d`` numeric features.

    The first block (``seen`` … ``missing``) does not depend on the model; the rest does, and is never summed over two
    models.
    """

    d: int

    @cached_property
    def shapes(self) -> dict[str, int]:
        """Column name to width, in order."""
        return {
            "seen": 1,
            "late": 1,
            "unscorable": 1,
            "missing": self.d,
            "scored": 1,
            "log_prob_sum": 1,
            "log_prob_square_sum": 1,
            "p_le": len(ALPHAS),
            "bets": len(BETS),
            "pit": self.d * PIT_BINS,
        }

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
        return part[..., 0] if self.shapes[name] == 1 and name != "missing" else part

    def pit(self, rows: Ints) -> Ints:
        """PIT histograms ``(…, d, bins)``."""
        return self.get(rows, "pit").reshape(*rows.shape[:-1], self.d, PIT_BINS)

    def log_prob_mean_sd(self, rows: Ints) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log-likelihood, nats; NaN where nothing was scored."""
        n = self.get(rows, "scored").astype(np.float64)
        n = np.where(n > 0, n, np.nan)
        mean = self.get(rows, "log_prob_sum") / _SUM_SCALE / n
        square = self.get(rows, "log_prob_square_sum") / _SQUARE_SCALE / n
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))

    def log_bets(self, rows: Ints) -> Floats:
        """Σ log(1 + ε(p − ½)) for each ε of :data:`BETS`, ``(…, e)``."""
        return np.asarray(self.get(rows, "bets") / _SUM_SCALE, dtype=np.float64)

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
        for name, place in self.columns.items():
            values = np.frombuffer(columns.get(name, b""), dtype="<i8")
            if len(values) != m * self.shapes[name]:
                raise ValueError(f"column {name!r} has {len(values)} values, expected {m} x {self.shapes[name]}")
            rows[:, place] = values.reshape(m, self.shapes[name])
        return rows


def fixed_sum(values: Floats) -> Ints:
    """Nats to fixed point, 2⁻¹⁶."""
    return np.rint(values * _SUM_SCALE).astype(np.int64)


def fixed_square(values: Floats) -> Ints:
    """Squared nats to fixed point, 2⁻⁸."""
    return np.rint(values**2 * _SQUARE_SCALE).astype(np.int64)
