"""A column's scale: it spreads more, or less, given the other columns."""

from __future__ import annotations

import math
from typing import ClassVar

from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.moments import MomentDetector


class ScaleDetector(MomentDetector):
    """One channel a column: sums of squares about the slice's own mean."""

    name: ClassVar[str] = "scale"
    weight: ClassVar[float] = 0.25
    used: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(layout.d + 1, layout.d)
        self._names = config.event.numeric

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        ratio = math.sqrt(max(1.0 + math.sqrt(2.0) * self.size(odds), 0.1))
        return (self._names[channel],), f"scale: {'more' if ratio > 1 else 'less'} spread, about x {ratio:.1f}"
