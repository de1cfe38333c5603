"""How much more the sums of a channel vary than those of independent events would: the long-run variance ratio.

Sums over blocks of panes, of several lengths; the largest ratio counts. A ratio from few blocks is uncertain: it is the
larger of the estimate itself and of the upper confidence limit of one that is pooled with the other channels (the sum
of squares of n blocks is taken as χ² with one degree of freedom less for each slice; with fewer where a few of the
blocks make most of it, as outages do). A slice whose own ratio is beyond what chance makes of that of all slices
depends on its past in its own way, as one machine that wanders or one shop that closes at night: it has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, ndtri

from flowlib.reference.moments import group_sum
from flowlib.table import Bools, Floats, Ints

BLOCKS = (1, 4, 12, 24, 48, 96, 168)
"""Lengths of blocks in panes; one counts where the reference has so many of its blocks or more:"""

BLOCKS_MIN = 6
_CONFIDENCE, _POOLED_BLOCKS = 0.9, 100.0
"""Of the limit; and how many blocks the mean over all channels counts for."""

_CHANCE, _APART = 0.0005, 1e-5
"""A slice's own ratio counts where chance would make one so large less often than this; and it counts no more for the
others where hardly ever: without those that happened to have most outages the others would seem to have few."""


def variance_ratio(deviation: Floats, weight: Floats, slices: Ints, panes: Ints, s: int = 0) -> Floats:
    """The ratio ``(s + 1, c)``, 1 at least: of all slices together, then of each.

    Args:
        deviation: ``(m, c)`` of each cell, with mean 0.
        weight: ``(m, c)`` its variance were events independent.
        slices: ``(m,)`` of each cell, from −1 (none of the s) on.
        panes: ``(m,)`` of each cell.
        s: slices.

    >>> rng = np.random.default_rng(0)
    >>> slices, panes = np.divmod(np.arange(20 * 240), 240)
    >>> alone = rng.standard_normal((len(panes), 1))
    >>> bool(variance_ratio(alone, np.ones_like(alone), slices, panes)[0, 0] < 1.3)
    True
    >>> daily = np.repeat(alone[:: 24], 24, axis=0)  # a day long the same
    >>> bool(15 < variance_ratio(daily, np.ones_like(daily), slices, panes)[0, 0] < 32)
    True
    >>> one = np.where(slices[:, None] == 3, daily, alone)
    >>> ratio = variance_ratio(one, np.ones_like(one), slices, panes, 20)[:, 0]
    >>> int(ratio[1:].argmax()), bool(ratio[4] > 15 > 3 > ratio[0] > ratio[1])
    (3, True)
    """
    if not deviation.size:
        return np.ones((s + 1, deviation.shape[1]))
    rows = slices + 1
    every = [_Blocks.of(deviation, weight, rows, panes // length, s + 1) for length in lengths(panes)]
    apart = np.zeros((len(every[0].squares), deviation.shape[1]), dtype=bool)
    for _ in range(2):  # those that are apart make the others look less so
        for blocks in every:
            apart |= blocks.beyond(blocks.ratio(~apart), _APART)
    strange = np.any([blocks.beyond(blocks.ratio(~apart), _CHANCE) for blocks in every], axis=0)
    ordinary = np.max([blocks.ratio(~apart) for blocks in every], axis=0, initial=1.0)
    own = np.max([blocks.own() for blocks in every], axis=0, initial=1.0)
    ratio = np.where(strange, np.maximum(own, ordinary), ordinary)
    ratio[0] = np.max([blocks.ratio(np.ones_like(apart)) for blocks in every], axis=0, initial=1.0)
    return np.asarray(ratio[: s + 1])


def lengths(panes: Ints) -> list[int]:
    """Lengths of blocks that there are enough of."""
    return [length for length in BLOCKS if length == 1 or len(np.unique(panes // length)) >= BLOCKS_MIN]


def block_sums(deviation: Floats, weight: Floats, rows: Ints, blocks: Ints) -> tuple[Ints, Floats, Floats]:
    """The slice ``(g,)`` of each block, its weight, and its deviation ``(g, c)`` about the slice's own mean."""
    width, w = int(blocks.max(initial=0)) + 1, int(rows.max(initial=0)) + 1
    groups, code = np.unique(rows * width + blocks, return_inverse=True)
    of_block = groups // width
    total, events = (group_sum(part, code, len(groups)) for part in (deviation, weight))
    mean = group_sum(total, of_block, w) / np.maximum(group_sum(events, of_block, w), 1e-300)
    return of_block, events, total - events * mean[of_block]


@dataclass(frozen=True)
class _Blocks:
    """Sums over the blocks of each of w slices about their own mean.

    Attributes:
        blocks: ``(w, 1)`` how many there are.
        squares, fourths, expected: ``(w, c)`` sums of their squares, of the fourth powers, and what the first would be.
    """

    blocks: Floats
    squares: Floats
    fourths: Floats
    expected: Floats

    @classmethod
    def of(cls, deviation: Floats, weight: Floats, rows: Ints, blocks: Ints, least: int) -> _Blocks:
        """Sum up cells of ``rows (m,)`` (slices) in ``blocks (m,)``; w is ``least`` or more."""
        of_block, events, rest = block_sums(deviation, weight, rows, blocks)
        w = max(int(rows.max(initial=0)) + 1, least)
        of_all = np.maximum(group_sum(events, of_block, w), 1e-300)
        # Deviations from the mean of the same blocks are smaller by each block's share.
        expected = events * (1.0 - events / of_all[of_block])
        counts = np.bincount(of_block, minlength=w)[:, None].astype(np.float64)
        return cls(counts, *(group_sum(part, of_block, w) for part in (rest**2, rest**4, expected)))

    def ratio(self, chosen: Bools) -> Floats:
        """``(c,)`` of all chosen ``(w, c)`` together; 1 where there is nothing to tell by."""
        squares, fourths, expected, n = (
            (part * chosen).sum(axis=0) for part in (self.squares, self.fourths, self.expected, self.blocks)
        )
        free = n - (chosen & (self.blocks > 0)).sum(axis=0)
        known = (free >= 1) & (expected > 0)
        free = np.maximum(free, 1.0)
        ratio = np.where(known, squares / np.maximum(expected, 1e-300), 1.0)
        pooled_blocks = _POOLED_BLOCKS if len(ratio) > 1 else 0.0
        pooled = (free * ratio + pooled_blocks * ratio.mean()) / (free + pooled_blocks)
        heavy = _limit(free * self._telling(squares, fourths, n)) / _limit(free)
        return np.where(known, np.maximum(ratio * heavy, pooled * _limit(free + pooled_blocks)), 1.0)

    def beyond(self, ratio: Floats, chance: float) -> Bools:
        """``(w, c)`` slices whose own ratio would by chance hardly be so large, were it that of all ``(c,)``."""
        return np.asarray((self.blocks > 2) & (self._own > ratio * chi2_share(self._free, 1.0 - chance)))

    def own(self) -> Floats:
        """``(w, c)`` upper limit of each slice's own."""
        return np.asarray(self._own / chi2_share(self._free, 1.0 - _CONFIDENCE))

    @property
    def _own(self) -> Floats:
        return np.where(self.expected > 0, self.squares / np.maximum(self.expected, 1e-300), 1.0)

    @property
    def _free(self) -> Floats:
        squares, fourths, n = (part.sum(axis=0) for part in (self.squares, self.fourths, self.blocks))
        return np.maximum((self.blocks - 1.0) * self._telling(squares, fourths, n), 3.0)

    @staticmethod
    def _telling(squares: Floats, fourths: Floats, n: Floats) -> Floats:
        """Share of n blocks that the sum of squares really rests on: 1 where they are normal."""
        telling = 3.0 * squares**2 / np.maximum(fourths * n, 1e-300)
        return np.where(fourths > 1e-200, np.clip(telling, 1e-6, 1.0), 1.0)


def _limit(free: Floats) -> Floats:
    """Upper limit of a variance over its estimate from so many free blocks."""
    free = np.maximum(free, 1.0)
    return np.asarray(free / (2.0 * gammaincinv(free / 2.0, 1.0 - _CONFIDENCE)))  # the quantile of χ²


def chi2_share(free: Floats, level: float) -> Floats:
    """Quantile of χ² over its degrees of freedom, 3 or more (Wilson & Hilferty 1931): exact ones take long for many.

    >>> bool(abs(chi2_share(np.array(9.0), 0.99) * 9 - 21.67) < 0.2)
    True
    """
    part = 2.0 / (9.0 * free)
    return np.asarray((1.0 - part + ndtri(level) * np.sqrt(part)) ** 3)
