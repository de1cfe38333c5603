"""How much more the sums of a channel vary than those of independent events would: the long-run variance ratio.

Sums over blocks of panes, of several lengths; the largest ratio counts. A ratio from few blocks is uncertain: it is the
larger of the estimate itself and of the upper confidence limit of one that is pooled with the other channels (the sum
of squares of n blocks is taken as χ² with one degree of freedom less for each slice).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from flowlib.reference.moments import group_sum
from flowlib.table import Floats, Ints

BLOCKS = (1, 4, 12, 24, 48, 96, 168)
"""Lengths of blocks in panes; one counts where the reference has so many of its blocks or more:"""

BLOCKS_MIN = 6
_CONFIDENCE, _POOLED_BLOCKS = 0.9, 100.0
"""Of the limit; and how many blocks the mean over all channels counts for."""


def variance_ratio(deviation: Floats, weight: Floats, slices: Ints, panes: Ints) -> Floats:
    """The ratio ``(c,)``, 1 at least.

    Args:
        deviation: ``(m, c)`` of each cell, with mean 0.
        weight: ``(m, c)`` its variance were events independent.
        slices, panes: ``(m,)`` of each cell.

    >>> rng = np.random.default_rng(0)
    >>> slices, panes = np.divmod(np.arange(20 * 240), 240)
    >>> alone = rng.standard_normal((len(panes), 1))
    >>> bool(variance_ratio(alone, np.ones_like(alone), slices, panes)[0] < 1.3)
    True
    >>> daily = np.repeat(alone[:: 24], 24, axis=0)  # a day long the same
    >>> bool(15 < variance_ratio(daily, np.ones_like(daily), slices, panes)[0] < 32)
    True
    """
    ratio = np.ones(deviation.shape[1])
    for length in BLOCKS:
        blocks = panes // length
        if length > 1 and len(np.unique(blocks)) < BLOCKS_MIN:
            break
        ratio = np.maximum(ratio, _ratio(deviation, weight, slices, blocks))
    return ratio


def _ratio(deviation: Floats, weight: Floats, slices: Ints, blocks: Ints) -> Floats:
    groups, code = np.unique(slices * (blocks.max() + 1) + blocks, return_inverse=True)
    of_block = groups // (blocks.max() + 1)
    named, of_slice = np.unique(of_block, return_inverse=True)
    total, events = (group_sum(part, code, len(groups)) for part in (deviation, weight))
    of_all = group_sum(events, of_slice, len(named))
    own = group_sum(total, of_slice, len(named)) / np.maximum(of_all, 1e-300)
    rest = total - events * own[of_slice]
    # Deviations from the mean of the same blocks are smaller by each block's share.
    expected = (events * (1.0 - events / np.maximum(of_all[of_slice], 1e-300))).sum(axis=0)
    free = len(groups) - len(named)
    if free < 1 or not deviation.size:
        return np.ones(deviation.shape[1])
    ratio = np.where(expected > 0, (rest**2).sum(axis=0) / np.maximum(expected, 1e-300), 1.0)
    pooled_blocks = _POOLED_BLOCKS if len(ratio) > 1 else 0.0
    pooled = (free * ratio + pooled_blocks * ratio.mean()) / (free + pooled_blocks)
    limit = (free + pooled_blocks) / chi2.ppf(1.0 - _CONFIDENCE, free + pooled_blocks)
    return np.asarray(np.maximum(ratio, pooled * limit))
