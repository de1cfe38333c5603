"""Silence: a slice has no events any more, in event time, while others go on."""

from __future__ import annotations

from typing import ClassVar

from flowlib.reference.reference import Reference
from flowlib.table import Floats
from stream_app.stages.detection.detectors.base import Said
from stream_app.stages.detection.detectors.volume import VolumeDetector


class SilenceDetector(VolumeDetector):
    """The bet of :class:`VolumeDetector` that next to nothing comes."""

    name: ClassVar[str] = "silence"
    plain: ClassVar[float] = 0.9
    factors: ClassVar[tuple[float, ...]] = (0.01,)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        return Said((), "down", "events a pane", "no events come any more")
