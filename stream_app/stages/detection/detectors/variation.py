"""Variation: a column that never varied begins to, or one that was never there appears."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import ABSENT, CONSTANT, Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless
from stream_app.stages.detection.detectors.counting import Bets, never

_ODDS = np.array([300.0, 3_000.0])
"""Smaller ones would hardly ever be told from normal again, and keep an alert open for months."""


class VariationDetector(Stateless):
    """One channel a column: panes with another value than the constant, or with any value of an absent column. The
    largest normal share of such panes follows from there having been none in the reference.
    """

    name: ClassVar[str] = "variation"
    kind: ClassVar[Kind] = "drift"
    weight: ClassVar[float] = 0.05
    plain: ClassVar[float] = 0.02
    """A model knows nothing of a column that never varied: all others then look changed, and much more so."""

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._names, self.channels, self.bets = config.event.numeric, layout.d, len(_ODDS)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        reference, layout = part.reference, part.layout
        absent = reference.kind == ABSENT
        watched = (reference.kind == CONSTANT) | absent
        if not watched.any():  # as in most streams
            shape = len(part.rows), self.channels
            return Evidence(np.zeros((*shape, self.bets)), np.zeros(shape, dtype=bool))
        low, high = layout.get(part.rows, "low"), layout.get(part.rows, "high")
        there = low <= high
        other = (low != reference.usual) | (high != reference.usual)
        hits = there & np.where(absent, True, other)
        trials = np.where(absent, layout.get(part.rows, "seen")[:, None] > 0, there)
        rows = np.zeros(hits.shape, dtype=np.int64)
        return Evidence(part.once("variation", _bets).at(rows, hits, trials), trials & watched)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        absent = reference.kind[channel] == ABSENT
        words = "it has values, which it never had" if absent else "it has other values than the one it always had"
        return Said((self._names[channel],), "", "mean", words)

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`."""
        return part.values(rows, channels)


def _bets(reference: Reference) -> Bets:
    return Bets.of(np.array([never(reference.rows)]), _ODDS, np.ones(1))
