"""The places of many values among few edges: those of :func:`numpy.searchsorted`, most of them from a table."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flowlib import native

_CELLS, _CELLS_MAX = 4, 1 << 16
"""Cells of a column's table for each edge, and of all: tables that stay in the cache."""

_OUTSIDE = 0.005
"""Share of the edges at either end that a table leaves out: a few far ones would make all other cells too wide."""

Values = npt.NDArray[Any]
Places = npt.NDArray[np.int32]


class Ladders:
    """The edges of c columns.

    Args:
        edges: ``(c, b)`` float32 or float64, ascending, padded with inf.

    >>> ladders = Ladders(np.array([[0.0, 1.0, 1.0, 2.5], [7.0, np.inf, np.inf, np.inf]]))
    >>> ladders.below(np.array([[1.0, 7.0], [9.0, 8.0]])).tolist(), ladders.upto(np.array([[1.0, 7.0]])).tolist()
    ([[1, 0], [4, 1]], [[3, 1]])
    """

    def __init__(self, edges: Values) -> None:
        self._edges, self._kind = np.ascontiguousarray(edges), edges.dtype.type

    def below(self, values: Values) -> Places:
        """``(n, c)`` how many edges of its column lie below each value; values are finite and of the edges' type."""
        return self._places(values, "left", np.less)

    def upto(self, values: Values) -> Places:
        """``(n, c)`` how many edges lie below each value or at it."""
        return self._places(values, "right", np.less_equal)

    def _places(self, values: Values, side: Literal["left", "right"], is_before: np.ufunc) -> Places:
        if native.loops is not None:
            places: Places = np.empty(values.shape, dtype=np.int32)
            values = np.ascontiguousarray(values, dtype=self._kind)
            native.loops.places(*self.buffers, values, side == "right", places, self._kind is np.float64)
            return places
        low, scale, cells, until = self._table
        c, b = self._edges.shape
        with np.errstate(over="ignore"):
            cell = values - low
            cell *= scale
        # Cells are monotone in the values, so every edge of a lower cell is smaller, and of a higher one larger.
        place = np.clip(cell, 0, cells, out=cell).astype(np.int32)
        place += np.arange(0, c * (cells + 2), cells + 2, dtype=np.int32)
        first, last = until[place].ravel(), until[1:][place].ravel()
        left = np.flatnonzero(first != last)
        if len(left) > len(first) // 2:  # ties, or tails so long that most edges share a few cells
            columns = zip(self._edges, values.T, strict=True)
            return np.stack([edges.searchsorted(column, side) for edges, column in columns], axis=1).astype(np.int32)
        flat, edges, column = values.reshape(-1), self._edges.ravel(), (left % c * b).astype(np.int32)
        while len(left):
            middle = (first[left] + last[left]) >> 1
            beyond = is_before(edges[column + middle], flat[left])
            first[left] = np.where(beyond, middle + 1, first[left])
            last[left] = np.where(beyond, last[left], middle)
            still = first[left] != last[left]
            left, column = left[still], column[still]
        return first.reshape(values.shape)

    @cached_property
    def buffers(self) -> tuple[Values, Values, Values, Values]:
        """``(edges, low, scale, until)`` as the loops of :mod:`flowlib.native` take them, ``until (c, cells + 2)`` as
        uint16 where that is enough, else as int32.
        """
        low, scale, _, until = self._table
        c, b = self._edges.shape
        return self._edges, low, scale, until.reshape(c, -1).astype(np.uint16 if b < 1 << 16 else np.int32)

    @cached_property
    def _table(self) -> tuple[Values, Values, int, Places]:
        """Of each column where its cells begin and their number for a unit ``(c,)``; the number of the last cell, and
        how many edges lie in the cells before each: the first and the last reach on without an end.
        """
        c, b = self._edges.shape
        cells = min(_CELLS * b, _CELLS_MAX)
        low, scale = np.zeros(c, self._kind), np.zeros(c, self._kind)
        until = np.zeros((c, cells + 2), dtype=np.int32)
        for j, column in enumerate(self._edges):
            edges = column[np.isfinite(column)]
            low[j], scale[j] = self._spread(edges, cells)
            with np.errstate(over="ignore"):
                cell = np.clip((edges - low[j]) * scale[j], 0, cells).astype(np.int64)
            until[j, 1:] = np.cumsum(np.bincount(cell, minlength=cells + 1))
        return low, scale, cells, until.ravel()

    def _spread(self, edges: Values, cells: int) -> tuple[Any, Any]:
        """Where cells over most of a column's edges begin, and their number for a unit; 0, one cell, for none."""
        out = int(_OUTSIDE * len(edges))
        inner = edges[out : len(edges) - out]
        width = float(inner[-1]) - float(inner[0]) if len(inner) else 0.0
        limit = float(np.finfo(self._kind).max)
        if not 0 < width < limit or cells / width > limit:
            return 0.0, 0.0
        return inner[0], self._kind(cells / width)
