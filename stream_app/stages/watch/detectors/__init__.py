"""Detectors, one file each. Add yours here and the generic checks test it."""

from stream_app.stages.watch.detectors.base import Detector, Evidence, Kind, Make, Part
from stream_app.stages.watch.detectors.categories import CategoriesDetector
from stream_app.stages.watch.detectors.dependence import DependenceDetector
from stream_app.stages.watch.detectors.intake import IntakeDetector
from stream_app.stages.watch.detectors.likelihood import LikelihoodDetector
from stream_app.stages.watch.detectors.location import LocationDetector
from stream_app.stages.watch.detectors.missing import MissingDetector
from stream_app.stages.watch.detectors.scale import ScaleDetector
from stream_app.stages.watch.detectors.silence import SilenceDetector
from stream_app.stages.watch.detectors.stuck import StuckDetector
from stream_app.stages.watch.detectors.unit import UnitDetector
from stream_app.stages.watch.detectors.variation import VariationDetector
from stream_app.stages.watch.detectors.volume import VolumeDetector

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

__all__ = ["DETECTORS", "Detector", "Evidence", "Kind", "Make", "Part"]
