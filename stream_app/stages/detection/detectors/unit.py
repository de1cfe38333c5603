"""Another unit: a column's values lie far from all that it ever had, as when metres become millimetres."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import VARIES, Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless
from stream_app.stages.detection.detectors.counting import Bets, never

_ODDS = np.array([30.0, 1_000.0])


class UnitDetector(Stateless):
    """One channel a column: panes all of whose values lie beyond the range it had by three times its width. Values
    that only grow past the range, as in a hotter summer, are drift.
    """

    name: ClassVar[str] = "unit"
    kind: ClassVar[Kind] = "fault"
    weight: ClassVar[float] = 0.1
    plain: ClassVar[float] = 0.2

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._names, self.channels, self.bets = config.event.numeric, layout.d, len(_ODDS)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        reference = part.reference
        low, high = part.layout.get(part.rows, "low"), part.layout.get(part.rows, "high")
        there = low <= high
        beyond = there & ((low > reference.high) | (high < reference.low))
        rows = np.zeros(there.shape, dtype=np.int64)
        return Evidence(part.once("unit", _bets).at(rows, beyond, there), there & (reference.kind == VARIES))

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        words = "its values are far from all it ever had, perhaps in another unit"
        return Said((self._names[channel],), "", "mean", words)

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`."""
        return part.values(rows, channels)


def _bets(reference: Reference) -> Bets:
    return Bets.of(np.array([never(reference.rows)]), _ODDS, np.ones(1))
