"""A column's scale: it spreads more, or less, given the other columns."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Part, Said
from stream_app.stages.detection.detectors.moments import MomentDetector


class ScaleDetector(MomentDetector):
    """One channel a column: sums of squares about the slice's own mean."""

    name: ClassVar[str] = "scale"
    weight: ClassVar[float] = 0.25
    used: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(layout.d + 1, layout.d)
        self._names = config.event.numeric

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        more = self.size(odds) > 0
        words = f"spreads {'more' if more else 'less'} than usual"
        return Said((self._names[channel],), "up" if more else "down", "spread", words)

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`: n events have sums of squares ``n · factor²`` about their usual mean, of which n are
        expected.
        """
        n, deviation = (values[rows, self.place.start + channels] for values in part.deviations)
        square_sd = part.reference.square_sd[channels]
        return np.stack([n, np.maximum(n + square_sd * deviation, 0.0), n, square_sd], axis=1)
