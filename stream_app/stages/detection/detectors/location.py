"""A column's location: its mean, given the other columns, has moved."""

from __future__ import annotations

from typing import ClassVar

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Part, Said
from stream_app.stages.detection.detectors.moments import MomentDetector

_WORDS = {True: "higher than usual", False: "lower than usual"}


class LocationDetector(MomentDetector):
    """One channel a column: sums of the normal scores of its base coordinate."""

    name: ClassVar[str] = "location"
    weight: ClassVar[float] = 0.5

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(0, layout.d)
        self._names = config.event.numeric

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        higher = self.size(odds) > 0
        return Said((self._names[channel],), "up" if higher else "down", "mean", _WORDS[higher])

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`: of the values themselves, whatever the other columns."""
        return part.values(rows, channels)
