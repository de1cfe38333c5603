"""Probability integral transforms of base coordinates, and their histograms."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from flowlib.table import Bools, Ints, Singles

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
"""Nats: minus the log-density of a standard normal at 0."""

PIT_BINS = 20
"""Bins of a PIT histogram."""


def pit_of(z: Singles) -> Singles:
    """Φ(z), elementwise."""
    from scipy.special import ndtr  # commands that only need the number of bins spare a tenth of a second

    return np.asarray(ndtr(z.astype(np.float64)), dtype=np.float32)


@cache
def pit_edges() -> Singles:
    """``(19,)`` the largest base coordinate of each bin of a PIT histogram but the last."""
    first, last = (_in_order(np.full(PIT_BINS - 1, end, dtype=np.float32)) for end in (-8.0, 8.0))
    wanted = np.arange(1, PIT_BINS)
    while (last - first > 1).any():
        middle = (first + last) // 2
        is_there = _bins(pit_of(_of_order(middle))) >= wanted
        first, last = np.where(is_there, first, middle), np.where(is_there, middle, last)
    return _of_order(first)


def _in_order(values: Singles) -> Ints:
    """Whole numbers in the order of the values, without one between those of neighbours."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFF_FFFF), bits)


def _of_order(numbers: Ints) -> Singles:
    """Inverse of :func:`_in_order`."""
    bits = np.where(numbers < 0, -numbers | 0x8000_0000, numbers)
    return bits.astype(np.uint32).view(np.float32)


def _bins(pit: Singles) -> Ints:
    return np.clip((pit * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)


def pit_histogram(pit: Singles, missing: Bools) -> Ints:
    """``(d, 20)`` counts of present values."""
    bins = _bins(pit)
    return np.stack([np.bincount(bins[~missing[:, j], j], minlength=PIT_BINS) for j in range(pit.shape[1])])
