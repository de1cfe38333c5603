"""A column's location: its mean, given the other columns, has moved."""

from __future__ import annotations

from typing import ClassVar

from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.moments import MomentDetector


class LocationDetector(MomentDetector):
    """One channel a column: sums of the normal scores of its base coordinate."""

    name: ClassVar[str] = "location"
    weight: ClassVar[float] = 0.5

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(0, layout.d)
        self._names = config.event.numeric

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        size = self.size(odds)
        return (self._names[channel],), f"location: {'up' if size > 0 else 'down'} by about {abs(size):.1f} sd"
