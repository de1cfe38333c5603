"""Partial pooling of slices' means: how far slices really differ, and what is known of each (empirical Bayes).

A slice's mean of N rows has the sampling variance ``r·v/N``, r for dependence between rows. Between slices means vary
by τ², taken at its upper confidence limit: too large a τ² trusts a slice's own rows, which costs speed; too small a one
would invent alarms. The posterior mean and variance are those of the normal model (Efron & Morris 1975; Morris 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from flowlib.table import Floats

_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Pooled:
    """Means of s slices in c channels, and of a slice that was never seen.

    Attributes:
        mean: ``(s + 1, c)``, the first row for any other slice.
        sd: ``(s + 1, c)`` posterior standard deviation of the mean.
    """

    mean: Floats
    sd: Floats


def pool(own: Floats, variance: Floats) -> Pooled:
    """Pool s slices' means.

    Args:
        own: ``(s, c)`` means of their own rows; s ≥ 1.
        variance: ``(s, c)`` sampling variances; inf where a slice has no rows.

    >>> pooled = pool(np.array([[0.0], [2.0], [9.0]]), np.array([[1.0], [1.0], [np.inf]]))
    >>> bool(0.0 < pooled.mean[1, 0] < pooled.mean[2, 0] < 2.0), bool(pooled.sd[3, 0] > pooled.sd[1, 0])
    (True, True)
    """
    known = np.isfinite(variance)
    own = np.where(known, own, 0.0)
    between = _between(own, variance, known)
    weight = np.where(known, 1.0 / np.maximum(variance + between, 1e-300), 0.0)
    total = np.maximum(weight.sum(axis=0), 1e-300)
    centre = (weight * own).sum(axis=0) / total
    centre_variance = np.where(known.any(axis=0), 1.0 / total, 0.0)
    trust = np.where(known, between / np.maximum(between + variance, 1e-300), 0.0)
    mean = centre + trust * (own - centre)
    # What is left of a slice's own uncertainty, and what the common centre leaves unknown.
    own_variance = np.where(known, trust * np.where(known, variance, 0.0), between)
    rest = own_variance + (1.0 - trust) ** 2 * centre_variance
    return Pooled(
        np.concatenate([centre[None], mean]), np.sqrt(np.concatenate([(between + centre_variance)[None], rest]))
    )


def _between(own: Floats, variance: Floats, known: Floats) -> Floats:
    """τ² ``(c,)`` at its upper limit: where Σ(x − x̄)²/(v + τ²) is the lower quantile of χ²; huge for one slice."""
    s = known.sum(axis=0)
    v = np.where(known, variance, 0.0)
    quantile = 2.0 * gammaincinv(np.maximum(s - 1, 1) / 2.0, 1.0 - _CONFIDENCE)
    low, high = np.zeros(own.shape[1]), np.full(own.shape[1], 1e-12)
    high = np.maximum(high, 4.0 * (np.where(known, own, 0.0) ** 2).sum(axis=0) / quantile + v.max(axis=0))
    for _ in range(60):  # bisection: the sum falls as τ² grows
        middle = 0.5 * (low + high)
        weight = np.where(known, 1.0 / np.maximum(v + middle, 1e-300), 0.0)
        centre = (weight * own).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
        above = (weight * (own - centre) ** 2).sum(axis=0) > quantile
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(s > 1, 0.5 * (low + high), 1e6)
