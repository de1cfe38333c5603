"""Sums of event scores over the cells of a reference (a slice in a pane), and how far they are from what is normal.

Channels are numbered in one order everywhere: the location of each of the d columns and of the surprise, the scale of
each of them, the product of each pair: ``2 (d + 1) + p``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowlib.channels import UNIT, Channels, EventScores
from flowlib.table import Bools, Floats, Ints


@dataclass(frozen=True)
class Sums:
    """Sums of m groups of events, in units of one standard deviation.

    Attributes:
        present: ``(m, d + 1)`` values that are there; the last is the number of events.
        base, square: ``(m, d + 1)`` sums of the scores and of their squares.
        product: ``(m, p)`` sums of the products of pairs.
    """

    present: Floats
    base: Floats
    square: Floats
    product: Floats

    @classmethod
    def of_events(cls, channels: Channels, events: EventScores) -> Sums:
        """Each event by itself."""
        base = events.base / UNIT
        present = np.concatenate([events.present, np.ones((len(base), 1), dtype=bool)], axis=1)
        return cls(present.astype(np.float64), base, base**2, channels.products(events.base) / UNIT**2)

    def grouped(self, codes: Ints, groups: int) -> Sums:
        """Sums of the events of each code, ``groups`` of them."""
        return Sums(*(group_sum(part, codes, groups) for part in (self.present, self.base, self.square, self.product)))

    def take(self, index: Ints) -> Sums:
        """Some of the groups."""
        return Sums(self.present[index], self.base[index], self.square[index], self.product[index])


@dataclass(frozen=True)
class Normal:
    """What is normal in m slices.

    Attributes:
        mean, sd: ``(m, d + 1)`` of the scores.
        product: ``(m, p)`` correlation of each pair.
        square_sd, product_sd: ``(d + 1,)``, ``(p,)`` deviation of a standardised square, and product, of one event.
        pairs: ``(p, 2)``.
    """

    mean: Floats
    sd: Floats
    product: Floats
    square_sd: Floats
    product_sd: Floats
    pairs: Ints

    @cached_property
    def second(self) -> tuple[Floats, Floats, Floats]:
        """``(m, d + 1)`` twice the means, their squares and those of the deviations."""
        return 2 * self.mean, self.mean**2, self.sd**2

    @cached_property
    def of_pairs(self) -> tuple[Floats, Floats, Floats, Floats]:
        """``(m, p)`` means of each pair's columns, these multiplied, and their deviations multiplied."""
        i, j = self.pairs.T
        mean_i, mean_j = self.mean[:, i], self.mean[:, j]
        return mean_i, mean_j, mean_i * mean_j, self.sd[:, i] * self.sd[:, j]

    def take(self, index: Ints) -> Normal:
        """Some of the slices."""
        return Normal(
            self.mean[index], self.sd[index], self.product[index], self.square_sd, self.product_sd, self.pairs
        )


def deviations(sums: Sums, normal: Normal) -> tuple[Floats, Floats]:
    """Events and deviations ``(m, c)`` of every channel, from sums alone; a deviation of one event has mean 0, sd 1.

    Second moments are taken about the slice's own mean: Σ(x − m)² = Σx² − 2m·Σx + n·m², and likewise for products
    (:func:`centred_products`).
    """
    n, (twice, square, variance) = sums.present, normal.second
    location = (sums.base - n * normal.mean) / normal.sd
    scale = ((sums.square - twice * sums.base + n * square) / variance - n) / normal.square_sd
    both, centred = _centred(sums, normal.pairs, *normal.of_pairs[:3])
    product = (centred / normal.of_pairs[3] - both * normal.product) / normal.product_sd
    return np.concatenate([n, n, both], axis=1), np.concatenate([location, scale, product], axis=1)


def centred_products(sums: Sums, mean: Floats, pairs: Ints) -> tuple[Floats, Floats]:
    """Events and sums of products about means ``(m, d + 1)``, of each pair ``(m, p)``.

    Products are of events that have both values. Sums of one column over just these are not kept: they are taken for
    their share of all its events, or a gap in one column would look like dependence on the others.
    """
    i, j = pairs.T
    return _centred(sums, pairs, mean[:, i], mean[:, j], mean[:, i] * mean[:, j])


def _centred(sums: Sums, pairs: Ints, mean_i: Floats, mean_j: Floats, means: Floats) -> tuple[Floats, Floats]:
    i, j = pairs.T
    both = np.minimum(sums.present[:, i], sums.present[:, j])
    usual = sums.base / np.maximum(sums.present, 1.0)
    off = mean_j * usual[:, i] + mean_i * usual[:, j] - means
    return both, sums.product - both * off


def group_sum(values: Floats | Bools, codes: Ints, groups: int) -> Floats:
    """Sums ``(groups, …)`` of the rows of each code."""
    out = np.zeros((groups, *values.shape[1:]))
    if not len(codes):
        return out
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    out[codes[order][first]] = np.add.reduceat(values[order].astype(np.float64), first, axis=0)
    return out
