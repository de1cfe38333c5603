"""Detectors, one file each. Add yours here and the generic checks test it."""

from stream_app.stages.detection.detectors.base import (
    Detector,
    Evidence,
    GroupSums,
    Kind,
    Make,
    Part,
    Said,
    group_evidence,
)
from stream_app.stages.detection.detectors.categories import CategoriesDetector
from stream_app.stages.detection.detectors.dependence import DependenceDetector
from stream_app.stages.detection.detectors.intake import IntakeDetector
from stream_app.stages.detection.detectors.likelihood import LikelihoodDetector
from stream_app.stages.detection.detectors.location import LocationDetector
from stream_app.stages.detection.detectors.missing import MissingDetector
from stream_app.stages.detection.detectors.scale import ScaleDetector
from stream_app.stages.detection.detectors.silence import SilenceDetector
from stream_app.stages.detection.detectors.stuck import StuckDetector
from stream_app.stages.detection.detectors.unit import UnitDetector
from stream_app.stages.detection.detectors.variation import VariationDetector
from stream_app.stages.detection.detectors.volume import VolumeDetector

DETECTORS: dict[str, type[Detector]] = {
    "variation": VariationDetector,
    "location": LocationDetector,
    "dependence": DependenceDetector,
    "scale": ScaleDetector,
    "likelihood": LikelihoodDetector,
    "categories": CategoriesDetector,
    "unit": UnitDetector,
    "missing": MissingDetector,
    "stuck": StuckDetector,
    "intake": IntakeDetector,
    "silence": SilenceDetector,
    "volume": VolumeDetector,
}
"""Name in the configuration to detector, the simplest explanation first: an alert names the first that explains it."""

__all__ = ["DETECTORS", "Detector", "Evidence", "GroupSums", "Kind", "Make", "Part", "Said", "group_evidence"]
