"""How much of the training rows one slice, one producer or one content may be: a flood cannot buy the model.

A group's rows on one block train at most :data:`CAP` times what is usual of it: the median of its counts over all
blocks of the training span, those without a row of it too, or what is usual of groups on that block, whichever is more.
Of more rows so many are drawn with a key (:class:`~stream_app.trainer.data.spans.Folds`). A group that floods half of
the training blocks or more is usual: that is for the data sheet and the gates to see.
"""

from __future__ import annotations

import numpy as np

from flowlib.copies import STATE_SHARE, contents
from flowlib.table import Bools, Coded, Floats, Ints, Objects, Table

CAP = 3.0
_CONTENT_MIN = 10.0


def within_caps(table: Table, block: Ints, keys: Objects | None, draw: Floats) -> Bools:
    """Which rows of the training span train.

    Args:
        table: n rows.
        block: ``(n,)`` their blocks.
        keys: ``(n,)`` their record keys, None where none has one.
        draw: ``(n,)`` a draw for each row; of a group beyond its cap those with the smallest stay.

    Returns:
        ``(n,)`` bool.
    """
    kept = np.ones(len(table), dtype=bool)
    kept &= _within(Coded.of(table.slices).codes, block, draw, kept)
    if keys is not None:
        kept &= _within(Coded.of(keys).codes, block, draw, kept)
    return kept & _within(contents(table), block, draw, kept, of_content=True)


def _within(group: Ints, block: Ints, draw: Floats, among: Bools, of_content: bool = False) -> Bools:
    """Which rows are within the cap of their group; ``among``: the rows that count."""
    rows, there = np.flatnonzero(among), np.ones(len(group), dtype=bool)
    if not len(rows):
        return there
    blocks, at = np.unique(block[rows], return_inverse=True)
    cell, of_row, count = np.unique(group[rows] * len(blocks) + at, return_inverse=True, return_counts=True)
    of_group, of_block = cell // len(blocks), cell % len(blocks)
    usual = np.maximum(_medians(of_group, count, len(blocks))[of_group], 1.0)
    limit = CAP * usual
    if of_content:  # rare ones may come together: so few buy nothing
        limit = np.maximum(limit, np.maximum(_CONTENT_MIN, STATE_SHARE * np.bincount(of_block, count)[of_block]))
    elif len(np.unique(of_group)) > 1:
        limit = np.maximum(limit, CAP * _medians_among(of_block, count)[of_block])
    there[rows] = _ranks(of_row, draw[rows]) < limit[of_row]
    return there


def _medians(group: Ints, count: Ints, blocks: int) -> Floats:
    """The median of each group's counts over so many blocks, of which it is in some."""
    order = np.lexsort((count, group))
    first = np.searchsorted(group[order], np.arange(int(group.max()) + 2))
    number = np.diff(first)
    low = [((blocks - 1) // 2) - (blocks - number), (blocks // 2) - (blocks - number)]
    at = [np.where(place >= 0, count[order][np.clip(first[:-1] + place, 0, len(count) - 1)], 0) for place in low]
    return np.asarray((at[0] + at[1]) / 2.0)


def _medians_among(block: Ints, count: Ints) -> Floats:
    """The median count of each block over the groups that are there."""
    order = np.lexsort((count, block))
    first = np.searchsorted(block[order], np.arange(int(block.max()) + 2))
    last, number = len(count) - 1, np.diff(first)
    low, high = (np.clip(first[:-1] + place, 0, last) for place in ((number - 1) // 2, number // 2))
    return np.asarray((count[order][low] + count[order][high]) / 2.0)


def _ranks(cell: Ints, draw: Floats) -> Ints:
    """The rank ``(n,)`` of each row's draw among those of its cell."""
    order = np.lexsort((draw, cell))
    first = np.searchsorted(cell[order], np.arange(int(cell.max()) + 1))
    ranks = np.empty(len(cell), dtype=np.int64)
    ranks[order] = np.arange(len(cell)) - first[cell[order]]
    return ranks
