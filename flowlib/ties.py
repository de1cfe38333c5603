"""Draws that break ties: uniform numbers from what a row says and a key, the same in any batch, partition and replay.

Where many reference rows have the very score of a new one (counts, zeros, categories), its rank among them is drawn:
p-values are then uniform for discrete data too (smoothed conformal p-values; Vovk, Gammerman & Shafer, *Algorithmic
Learning in a Random World*, 2005). The mixing is SplitMix64's (Steele, Lea & Flood, OOPSLA 2014).
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from flowlib import native
from flowlib.table import Floats, Ints, Objects, Table

MIDDLE = 0
"""The key that draws nothing: the middle of the tie (mid p), for rows that carry no time. Drawn by their values alone,
rows that are alike would share one draw for ever."""

Words = npt.NDArray[np.uint64]
_STEPS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_NOT_A_NUMBER = np.uint64(0x7FF8 << 48)


def key_for(table: Table, seed: int) -> int:
    """The key to record with a calibration on these rows: of the seed, :data:`MIDDLE` where all have one time."""
    if not len(table) or (table.time_ms == table.time_ms[0]).all():
        return MIDDLE
    return (
        int(_mixed(np.array([seed], dtype=np.uint64), np.array([len(table)], dtype=np.uint64))[0] >> np.uint64(1)) + 1
    )


def draws(table: Table, key: int, rows: Ints | None = None) -> Floats:
    """``(m,)`` in (0, 1): of each row's time, numbers and slice, and of the key; of some rows ``(m,)``, or of all.

    >>> rows = Table.of([[0.0], [0.0], [-0.0]], time_ms=[1, 2, 1])
    >>> draws(rows, 7).round(3), draws(rows, MIDDLE), draws(rows, 7, np.array([1])).round(3)
    (array([0.145, 0.236, 0.145]), array([0.5, 0.5, 0.5]), array([0.236]))
    """
    if key == MIDDLE:
        return np.full(len(table) if rows is None else len(rows), 0.5)
    if native.loops is not None:
        rows = np.arange(len(table)) if rows is None else rows
        out, words = np.empty(len(rows)), _of_names(table.slices[rows])
        times, numeric = (
            np.ascontiguousarray(table.time_ms, dtype=np.int64),
            np.ascontiguousarray(table.numeric, np.float64),
        )
        native.loops.draws(np.ascontiguousarray(rows), key, times, words, numeric, out)
        return out
    table = table if rows is None else table.take(rows)
    words = np.full(len(table), key, dtype=np.uint64)
    for column in (table.time_ms.astype(np.int64).view(np.uint64), _of_names(table.slices), *number_words(table)):
        words = _mixed(words, column)
    return np.asarray(((words >> np.uint64(11)) + 0.5) * 2.0**-53)


def _mixed(words: Words, column: Words) -> Words:
    return mixed(words * np.uint64(3) + column)


def mixed(words: Words) -> Words:
    """The words with their bits mixed, by SplitMix64's finaliser."""
    for shift, multiplier in _STEPS:
        words = (words ^ (words >> shift)) * multiplier
    return words ^ (words >> np.uint64(31))


def _of_names(slices: Objects) -> Words:
    names = slices.tolist()
    words = {name: zlib.crc32(str(name).encode()) for name in set(names)}
    return np.array([words[name] for name in names], dtype=np.uint64)


def number_words(table: Table) -> list[Words]:
    """The bits of each column; −0 is 0, and every NaN the same."""
    bits = (table.numeric + 0.0).view(np.uint64)
    bits = np.where(np.isnan(table.numeric), _NOT_A_NUMBER, bits)
    return list(bits.T)
