"""Evidence from counts: Bernoulli likelihood ratios at some odds, each an e-value while the share is at most normal.

Vovk & Wang, "E-values: calibration, combination and applications", Annals of Statistics 2021: a likelihood ratio
against a composite null is an e-value where it is taken against the least favourable share, here the upper limit of
what is normal. Dependent trials are allowed for as in :mod:`~stream_app.stages.watch.detectors.moments`.
"""

from __future__ import annotations

import numpy as np

from flowlib.table import Floats

LEAST, MOST = 1e-6, 0.97
"""Normal shares outside leave nothing to bet on: what is always missing cannot be missing more often."""

NO_BET = -1e3
"""Log e-value of a bet that cannot be made: as good as lost."""

_OF_RUNS = np.log(3.0)
"""Nats that a run of usual length may bring."""


def never(events: Floats) -> float:
    """The largest share that is normal of what none of the reference's events had: the rule of three, and a little.

    >>> round(never(np.array([200.0, 97.0])), 4)
    0.0101
    """
    return 3.0 / (float(events.sum()) + 3.0) + 1e-4


def bernoulli(hits: Floats, trials: Floats, share: Floats, odds: Floats, inflation: Floats) -> Floats:
    """Log e-values ``(…, b)`` of more hits than normal.

    Args:
        hits, trials: ``(…,)``.
        share: ``(…,)`` the largest that is normal; outside (:data:`LEAST`, :data:`MOST`) there is no bet.
        odds: ``(b,)`` factors above 1 (or below 1, with the smallest normal share) of the odds bet on.
        inflation: ``(…,)`` variance ratio, 1 at least.

    >>> round(float(bernoulli(np.array(2.0), np.array(6.0), np.array(0.01), np.array([10.0]), np.array(1.0))[0]), 2)
    4.09
    """
    p = np.clip(share, LEAST, MOST)[..., None]
    gain = -np.log1p(p * (odds - 1.0))  # of a trial: log((1 − p₁) / (1 − p))
    # Runs are of any length: of geometric ones the larger odds have no mean where they count a usual run as one event.
    worth = 1.0 + (inflation[..., None] - 1.0) * np.maximum(np.log(odds) / _OF_RUNS, 1.0)
    log_e = (hits[..., None] * np.log(odds) + trials[..., None] * gain) / worth
    return np.where(((share > LEAST) & (share < MOST))[..., None], log_e, NO_BET)
