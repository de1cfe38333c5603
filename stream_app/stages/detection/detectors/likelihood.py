"""Likelihood: events are stranger, or more ordinary, than they were, whatever the column."""

from __future__ import annotations

from typing import ClassVar

from flowlib.reference.reference import Reference
from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Said
from stream_app.stages.detection.detectors.moments import MomentDetector


class LikelihoodDetector(MomentDetector):
    """One channel: sums of the normal scores of the surprise. It sees what no single column or pair shows."""

    name: ClassVar[str] = "likelihood"
    weight: ClassVar[float] = 0.1

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(layout.d, 1)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        stranger = self.size(odds) > 0
        words = f"events are {'stranger' if stranger else 'more ordinary'} than usual, all columns together"
        return Said((), "up" if stranger else "down", "", words)
