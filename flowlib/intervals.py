"""Intervals of shares."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from flowlib.table import Floats

NORMAL_95 = 1.96
"""Standard errors on either side of a normal estimate that make a 95 % interval."""


def wilson(hits: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's 95 % score interval of a share (E. B. Wilson, JASA 22, 1927).

    Args:
        hits: how many of the n, any shape; not necessarily whole.
        n: of how many; of the same shape or broadcast to it.

    Returns:
        Lower and upper ends in [0, 1]; 0 and 1 where n is 0.

    >>> low, high = wilson([0, 5], 10)
    >>> low.round(3), high.round(3)
    (array([0.   , 0.237]), array([0.278, 0.763]))
    """
    number = np.asarray(n, dtype=np.float64)
    some = np.where(number > 0, number, 1.0)
    share, z2 = np.asarray(hits, dtype=np.float64) / some, NORMAL_95 * NORMAL_95
    centre = (share + z2 / (2 * some)) / (1 + z2 / some)
    half = NORMAL_95 / (1 + z2 / some) * np.sqrt(share * (1 - share) / some + z2 / (4 * some * some))
    low = np.where(number > 0, np.maximum(centre - half, 0.0), 0.0)
    high = np.where(number > 0, np.minimum(centre + half, 1.0), 1.0)
    return low, high


def wilson_of_one(hits: float, n: float) -> tuple[float, float]:
    """:func:`wilson` of one share, to the same bits, without arrays: n is above 0.

    >>> wilson_of_one(5, 10) == tuple(map(float, wilson(5, 10)))
    True
    """
    share, z2 = hits / n, NORMAL_95 * NORMAL_95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)
