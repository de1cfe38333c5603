"""Evidence from sums of bounded scores: what location, scale, dependence and likelihood have in common.

For a deviation D of n events (mean 0 and deviation 1 each while nothing changes) and a bet λ

    log e = (λ (± D − n·slack) − n K(± λ)) / r

is a log e-value: K is the cumulant of one event, measured on the reference; slack is a zone of indifference and what
the reference does not know of the slice's mean; r is the long-run variance ratio of dependent events, for which sums of
variance n·r have the cumulant n·r·K(λ / r) ≤ n·K(λ) / r (Shin, Ramdas & Rinaldo, "E-detectors", arXiv 2203.03532;
Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import LAMBDAS, Reference
from flowlib.table import Floats
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Stateless
from stream_app.stages.detection.detectors.fast import ZONE

_BETS = np.array(LAMBDAS)


class MomentDetector(Stateless):
    """Bets of both signs on some of the moment channels; subclasses say which."""

    kind: ClassVar[Kind] = "drift"
    groups: ClassVar[bool] = True
    used: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    """Which of :data:`~flowlib.reference.reference.LAMBDAS`."""

    def __init__(self, first: int, channels: int) -> None:
        self.place, self.channels = slice(first, first + channels), channels
        self.bets = 2 * len(self.used)  # upward, then downward
        bets = _BETS[list(self.used)]
        self._signed = np.concatenate([bets + ZONE, -bets - ZONE])
        self._columns = [*self.used, *(len(LAMBDAS) + k for k in self.used)]

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        return part.moments(self.place.start, self.channels, self.used)

    def together(self, evidence: Evidence, reference: Reference, number: int) -> Evidence:
        """See :class:`Detector`."""
        log_e = evidence.log_e[:, self.place]
        every = len(self.used) == len(LAMBDAS)
        return Evidence(log_e if every else log_e[:, :, self._columns], evidence.news[:, self.place])

    def size(self, odds: Floats) -> float:
        """The deviation that the odds of the bets ``(b,)`` speak for, in sd of one event, with its sign."""
        return float((self._signed * odds).sum() / max(float(odds.sum()), 1e-300))
