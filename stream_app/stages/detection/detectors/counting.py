"""Evidence from counts: Bernoulli likelihood ratios at some odds, each an e-value while the share is at most normal.

Vovk & Wang, "E-values: calibration, combination and applications", Annals of Statistics 2021: a likelihood ratio
against a composite null is an e-value where it is taken against the least favourable share, here the upper limit of
what is normal. Dependent trials are allowed for as in :mod:`~stream_app.stages.detection.detectors.moments`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Bools, Floats, Ints

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

LEAST, MOST = 1e-6, 0.97
"""Normal shares outside leave nothing to bet on: what is always missing cannot be missing more often."""

NO_BET = -1e3
"""Log e-value of a bet that cannot be made: as good as lost."""

_NO_BETS, _NOWHERE = np.array([NO_BET]), np.zeros(0, dtype=bool)

_OF_RUNS = np.log(3.0)
"""Nats that a run of usual length may bring."""


def never(events: Floats) -> float:
    """The largest share that is normal of what none of the reference's events had: the rule of three, and a little.

    >>> round(never(np.array([200.0, 97.0])), 4)
    0.0101
    """
    return 3.0 / (float(events.sum()) + 3.0) + 1e-4


@dataclass(frozen=True)
class Bets:
    """Bets on more hits than normal, ready to be made on any number of trials.

    Attributes:
        hit: ``(b,)`` nats that a hit brings.
        trial: ``(…, b)`` nats that every trial costs.
        worth: ``(…, b)`` trials that count as one, because they depend on each other.
        none: ``(…,)`` where nothing can be bet; None where that is nowhere.
    """

    hit: Floats
    trial: Floats
    worth: Floats
    none: Bools | None

    @classmethod
    def of(cls, share: Floats, odds: Floats, inflation: Floats) -> Bets:
        """Bets against shares; see :func:`bernoulli`."""
        p = np.clip(share, LEAST, MOST)[..., None]
        # Runs are of any length: of geometric ones the larger odds have no mean where they count a usual run as one
        # event.
        worth = 1.0 + (inflation[..., None] - 1.0) * np.maximum(np.log(odds) / _OF_RUNS, 1.0)
        none = (share <= LEAST) | (share >= MOST)
        return cls(np.log(odds), -np.log1p(p * (odds - 1.0)), worth, none if none.any() else None)

    def take(self, index: tuple[Ints, ...]) -> Bets:
        """Some of them."""
        return Bets(self.hit, self.trial[index], self.worth[index], None if self.none is None else self.none[index])

    @property
    def table(self) -> Bets:
        """The same, one below the other: ``(r, b)``."""
        b = len(self.hit)
        none = None if self.none is None else self.none.ravel()
        return Bets(self.hit, self.trial.reshape(-1, b), np.ascontiguousarray(self.worth).reshape(-1, b), none)

    def at(self, rows: Ints, hits: Floats | Ints | Bools, trials: Floats | Ints | Bools) -> Floats:
        """:meth:`log_e` ``(p, c, b)``, each by a row ``(p, c)`` of a :attr:`table`; hits and trials have that shape, or
        one that becomes it.
        """
        if _panes is None:
            return self.take((rows,)).log_e(hits, trials)
        hit, trial = (
            np.ascontiguousarray(np.broadcast_to(one, rows.shape), dtype=np.float64) for one in (hits, trials)
        )
        none, log_e = _NOWHERE if self.none is None else self.none, np.empty((*rows.shape, len(self.hit)))
        _panes.count(hit, trial, rows, self.hit, self.trial, self.worth, none, _NO_BETS, log_e)
        return log_e

    def log_e(self, hits: Floats | Ints | Bools, trials: Floats | Ints | Bools) -> Floats:
        """Log e-values ``(…, b)`` of hits ``(…,)`` among trials ``(…,)``."""
        log_e = (hits[..., None] * self.hit + trials[..., None] * self.trial) / self.worth
        return log_e if self.none is None else np.where(self.none[..., None], NO_BET, log_e)


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
    return Bets.of(share, odds, inflation).log_e(hits, trials)
