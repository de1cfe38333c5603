"""Dependence of two columns: they move together otherwise than they did."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

import numpy as np

from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Part
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
        self._pairs = np.zeros((layout.pairs, 2), dtype=np.int64)
        self._watched = np.zeros(1, dtype=np.int64)  # checksum of the pairs of each slice, all slices together first

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        self._pairs = part.reference.pairs
        return self._anew(super().evidence(part), part.slices + 1)

    def together(self, part: Part, chosen: Bools) -> Evidence | None:
        """See :class:`Detector`."""
        evidence = super().together(part, chosen)
        return evidence and self._anew(evidence, np.zeros(1, dtype=np.int64))

    def _anew(self, evidence: Evidence, at: Ints) -> Evidence:
        """Lose all bets on slices ``(p,)`` that were watched by other pairs before."""
        more = int(at.max(initial=0)) + 1 - len(self._watched)
        if more > 0:
            self._watched = np.pad(self._watched, (0, more))
        before, now = self._watched[at], zlib.crc32(self._pairs.tobytes()) + 1
        self._watched[at] = now
        other = (before != 0) & (before != now)
        if not other.any():
            return evidence
        other &= _first(at)  # of later panes they are the same pairs
        lost = np.where(other[:, None, None], NO_BET, evidence.log_e)
        return Evidence(lost, evidence.news | other[:, None])

    def to_state(self) -> Any:
        """See :class:`Detector`: the pairs of the model in service, to name them by, and which each slice had."""
        return [self._pairs, self._watched]

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._pairs, self._watched = (np.array(part, dtype=np.int64) for part in state)

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        a, b = (self._names[j] for j in self._pairs[channel])
        way = "in the same direction more" if self.size(odds) > 0 else "in opposite directions more"
        return (a, b), f"dependence: {a} and {b} move {way} than they did"


def _first(at: Ints) -> Bools:
    """The first row ``(p,)`` of each number."""
    first = np.zeros(len(at), dtype=bool)
    first[np.unique(at, return_index=True)[1]] = True
    return first
