"""Drift detectors, one file each. Add yours here and the generic checks test it."""

from stream_app.stages.watch.detectors.adwin import AdwinDetector
from stream_app.stages.watch.detectors.base import Detector, PaneView, Reference
from stream_app.stages.watch.detectors.likelihood import LikelihoodDetector
from stream_app.stages.watch.detectors.missing import MissingDetector
from stream_app.stages.watch.detectors.pit import PitDetector

DETECTORS: dict[str, type[Detector]] = {
    "adwin": AdwinDetector,
    "likelihood": LikelihoodDetector,
    "missing": MissingDetector,
    "pit": PitDetector,
}
"""Name in the configuration to detector."""

__all__ = ["DETECTORS", "Detector", "PaneView", "Reference"]
