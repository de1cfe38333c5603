"""Rows that come more than once: a row and its copies are one unit wherever rows are split.

A copy of a calibration row that trains makes the calibration rows likelier than any new row will be. But rows of few
different values agree by chance, and so will new ones: they are no copies. Neighbours tell one from the other: rows
that agree in all columns but one, and there, in a column of few values (on a grid, or most of them shared), have the
next one. Chance that makes a row twice makes some of its neighbours too; copying makes none. A row that makes up a good
part of all (an idle machine, nothing but zeros) is a state, and no copy either.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlib.encoder.findings import Finding, resolution
from flowlib.table import Bools, Floats, Ints, Objects, Table
from flowlib.ties import mixed, number_words

REPEATED = "repeated rows"
"""The finding's kind."""

STATE_ROWS, STATE_SHARE = 50, 0.02
"""A row that comes so often, in rows and as a share of all, is a state."""

_TOLD_SHARE = 0.05
_SHARED = 0.5
_Words = npt.NDArray[np.uint64]


def units(table: Table, states: bool = True) -> Ints:
    """The unit ``(n,)`` of each row: copies share one. Numbered from 0, in the order of their first rows.

    Numbers, categories and slice count, the time does not. ``states`` is False where rows of a state are copies too: a
    flood of equal rows is one to look at.

    >>> x = np.random.default_rng(0).standard_normal((4, 2))
    >>> units(Table.of(x[[0, 1, 0, 2, 3, 1]])).tolist()
    [0, 1, 0, 2, 3, 1]
    >>> units(Table.of([[0.0], [1.0], [0.0], [2.0], [1.0], [1.0]])).tolist()  # these agree by chance
    [0, 1, 2, 3, 4, 5]
    """
    n, words = len(table), _words(table)
    whole = words.sum(axis=0, dtype=np.uint64)
    _, first, of_row, count = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == n:
        return np.arange(n)
    on_grid = [resolution(x[np.isfinite(x)]) > 0 for x in table.numeric.T]
    by_chance = _have_neighbours(table.numeric[first], on_grid, words[:, first], whole[first])
    if states:
        by_chance |= (count >= STATE_ROWS) & (count > STATE_SHARE * n)
    name = np.where(by_chance[of_row], np.arange(n), first[of_row])
    return np.asarray(np.unique(name, return_inverse=True)[1], dtype=np.int64)


def contents(table: Table) -> Ints:
    """The content ``(n,)`` of each row as a number from 0 on: rows that agree in every column and in the slice share
    it, by chance or not.

    >>> contents(Table.of([[0.0], [1.0], [0.0]])).tolist() in ([0, 1, 0], [1, 0, 1])
    True
    """
    whole = _words(table).sum(axis=0, dtype=np.uint64)
    return np.asarray(np.unique(whole, return_inverse=True)[1], dtype=np.int64)


def newest(unit: Ints) -> Ints:
    """The last row of each unit, in the order of the rows."""
    last = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
    last[unit] = np.arange(len(unit))
    return np.sort(last)


def repeated(table: Table) -> tuple[Finding, ...]:
    """The finding ``repeated rows``, where a twentieth of the rows or more are copies."""
    share = 1.0 - len(newest(units(table))) / max(len(table), 1)
    if share < _TOLD_SHARE:
        return ()
    says = (
        f"{share:.1%} of the rows are copies of others in every column: a row and its copies count as one where rows "
        "are split, and once where they calibrate; look for what sends or joins them again"
    )
    return (Finding(REPEATED, (), says),)


def _words(table: Table) -> _Words:
    """Words ``(c, n)``, equal where a column's values are; their sums over the columns are where whole rows are."""
    names = [_numbered(column) for column in (*table.categories.T, table.slices)]
    words = np.stack([*number_words(table), *names])
    words += (np.arange(1, len(words) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))[:, None]
    return mixed(words)


def _numbered(names: Objects) -> _Words:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names.tolist()], dtype=np.uint64)


def _have_neighbours(numeric: Floats, on_grid: list[bool], words: _Words, whole: _Words) -> Bools:
    """Which of m different rows have a neighbour: ``numeric (m, d)``, ``words (c, m)``, ``whole (m,)`` their sums."""
    found = np.zeros(len(whole), dtype=bool)
    for x, few, own in zip(numeric.T, on_grid, words, strict=False):  # of a category every other level is the next one
        values, first, rank, count = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
        if few or (count[rank] > 1).mean() > _SHARED:
            for step in (-1, 1):
                there = (rank + step >= 0) & (rank + step < len(values))
                of_next = own[first[np.clip(rank + step, 0, len(values) - 1)]]
                found |= there & np.isin(whole - own + of_next, whole)
    for own in words[numeric.shape[1] :]:
        _, which, count = np.unique(whole - own, return_inverse=True, return_counts=True)
        found |= count[which] > 1
    return found
