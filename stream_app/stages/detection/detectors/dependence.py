"""Dependence of two columns: they move together otherwise than they did."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Part, Said
from stream_app.stages.detection.detectors.counting import NO_BET
from stream_app.stages.detection.detectors.moments import MomentDetector


class DependenceDetector(MomentDetector):
    """One channel a pair: sums of the products of two columns' scores. Base coordinates are independent while the model
    holds, so a product that has a mean is a dependence that was lost or gained.

    Of many columns each model watches pairs of its own. With those of another one the evidence of a slice begins anew:
    the channel is about something else.
    """

    name: ClassVar[str] = "dependence"
    weight: ClassVar[float] = 0.2
    used: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(2 * (layout.d + 1), layout.pairs)
        self._names = config.event.numeric
        self._watched = np.zeros(0, dtype=np.int64)  # checksum of the pairs of each slice

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        return self._anew(super().evidence(part), part.reference, part.slices)

    def together(self, evidence: Evidence, reference: Reference, number: int) -> Evidence:
        """See :class:`Detector`."""
        return self._anew(super().together(evidence, reference, number), reference, np.array([number]))

    def _anew(self, evidence: Evidence, reference: Reference, at: Ints) -> Evidence:
        """Lose all bets on slices ``(p,)`` that were watched by other pairs before."""
        more = int(at.max(initial=-1)) + 1 - len(self._watched)
        if more > 0:
            self._watched = np.pad(self._watched, (0, more))
        before, now = self._watched[at], zlib.crc32(reference.pairs.tobytes()) + 1
        self._watched[at] = now
        other = (before != 0) & (before != now)
        if not other.any():
            return evidence
        other &= _first(at)  # of later panes they are the same pairs
        lost = np.where(other[:, None, None], NO_BET, evidence.log_e)
        return Evidence(lost, evidence.news | other[:, None])

    def keep(self, numbers: Ints) -> None:
        """See :class:`Detector`."""
        self._watched = self._watched[numbers[numbers < len(self._watched)]]

    def to_state(self) -> Any:
        """See :class:`Detector`: which pairs each slice had."""
        return self._watched

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._watched = np.array(state, dtype=np.int64)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        a, b = (self._names[j] for j in reference.pairs[channel])
        same = self.size(odds) > 0
        words = f"they move {'in the same direction' if same else 'in opposite directions'} more than usual"
        return Said((a, b), "up" if same else "down", "", words)


def _first(at: Ints) -> Bools:
    """The first row ``(p,)`` of each number."""
    first = np.zeros(len(at), dtype=bool)
    first[np.unique(at, return_index=True)[1]] = True
    return first
