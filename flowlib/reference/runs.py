"""Cumulants that hold for runs too: events that come strange together, for as long as it lasts, as outages do.

The variance ratio r makes sums of dependent events vary as much as they do; it says nothing of how large the largest
are. Runs of geometric length have tails that no variance tells of, and large bets, λ / r on each of their events, would
have no mean. So the cumulant K of a bet is at least that with which ``exp((λ D − n K) / r)`` has the mean 1 over the
blocks of the reference, whatever their length.
"""

from __future__ import annotations

import numpy as np

from flowlib.reference.dependence import block_sums, lengths
from flowlib.table import Floats, Ints

_SLICES = 200
"""Slices that are looked at, drawn at random where there are more."""

_STEPS = 6


def with_runs(
    cumulants: Floats, bets: Floats, deviation: Floats, n: Floats, inflation: Floats, slices: Ints, panes: Ints
) -> Floats:
    """Cumulants ``(c, 2, b)``, those of single events or larger.

    Args:
        cumulants: ``(c, 2, b)`` of single events, for bets upward and downward.
        bets: ``(b,)``.
        deviation, n: ``(m, c)`` of each cell: sums of standardised events, and how many they are.
        inflation: ``(s, c)`` variance ratio of each slice.
        slices, panes: ``(m,)`` of each cell.

    >>> rng = np.random.default_rng(0)
    >>> slices, panes = np.divmod(np.arange(20 * 240), 240)
    >>> n, none, bets = np.full((4_800, 1), 6.0), np.array([[[0.02, 1.28]] * 2]), np.array([0.2, 1.6])
    >>> normal, ones = rng.standard_normal((4_800, 1)) * 6**0.5, np.ones((20, 1))
    >>> bool((with_runs(none, bets, normal, n, 1.1 * ones, slices, panes) < 1.1 * none).all())
    True
    >>> runs = normal + 18.0 * (rng.random((4_800, 1)) < 0.02)
    >>> with_runs(none, bets, runs, n, 2.1 * ones, slices, panes)[0, 0].round(1)
    array([0. , 3.6])
    """
    chosen = np.unique(slices)
    if len(chosen) > _SLICES:
        kept = np.isin(slices, np.random.default_rng(0).choice(chosen, _SLICES, replace=False))
        deviation, n, slices, panes = deviation[kept], n[kept], slices[kept], panes[kept]
    out = cumulants.copy()
    for length in lengths(panes):
        of_block, events, rest = block_sums(deviation, n, slices, panes // length)
        ratio = inflation[of_block]
        for s, sign in enumerate((1.0, -1.0)):
            for k, bet in enumerate(bets.tolist()):
                out[:, s, k] = _with_mean_one(out[:, s, k], sign * bet * rest / ratio, events / ratio)
    return out


def _with_mean_one(cumulant: Floats, bet: Floats, weight: Floats) -> Floats:
    """The smallest K ``(c,)``, ``cumulant`` or larger, with which ``exp(bet − weight K)`` has the mean 1 over rows."""
    for _ in range(_STEPS):  # Newton's, which come from below: the logarithm of the mean is convex in K
        log_e = bet - weight * cumulant
        top = log_e.max(axis=0)
        e = np.exp(log_e - top)
        total = e.sum(axis=0)
        above = top + np.log(total / len(log_e))
        slope = (weight * e).sum(axis=0) / total
        if (above <= 1e-4).all():
            break
        cumulant = cumulant + np.where((above > 0) & (slope > 0), above / np.maximum(slope, 1e-9), 0.0)
    return cumulant
