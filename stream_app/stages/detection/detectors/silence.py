"""Silence: a slice has no events any more, in event time, while others go on."""

from __future__ import annotations

from typing import ClassVar

from flowlib.table import Floats
from stream_app.stages.detection.detectors.volume import VolumeDetector


class SilenceDetector(VolumeDetector):
    """The bet of :class:`VolumeDetector` that next to nothing comes."""

    name: ClassVar[str] = "silence"
    plain: ClassVar[float] = 0.9
    factors: ClassVar[tuple[float, ...]] = (0.01,)

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        return (), "silence: no events come any more"
