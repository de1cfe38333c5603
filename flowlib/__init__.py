"""Exact likelihoods for tabular events: fit, score, calibrate, explain, sign. Imports nothing of the application.

The names below are the public face: what a person needs who fits a density, scores rows, reads the results and moves
models. What only a developer needs (flows, engines, private training, checks) is imported from its module.

The face is lazy (PEP 562): a name is imported when it is first asked for. ``import flowlib.table`` costs NumPy alone;
PyTorch and scikit-learn come with the first name that needs them.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from flowlib.artifact import Artifact
    from flowlib.calibration import Calibration
    from flowlib.density import Density, Scores
    from flowlib.encoder.encoder import Encoder
    from flowlib.encoder.spec import EncoderConfig, FeatureSpec
    from flowlib.errors import ArtifactError, EngineError, FlowlibError, OtherRun
    from flowlib.evaluation import Evaluation, evaluate
    from flowlib.explain.explanation import Explanation
    from flowlib.fit_config import FitConfig, MaximumLikelihood
    from flowlib.frames.estimator import FlowDensity
    from flowlib.intervals import wilson
    from flowlib.table import Table
    from flowlib.training import Progress, TrainConfig

__all__ = [
    "Artifact",
    "ArtifactError",
    "Calibration",
    "Density",
    "Encoder",
    "EncoderConfig",
    "EngineError",
    "Evaluation",
    "Explanation",
    "FeatureSpec",
    "FitConfig",
    "FlowDensity",
    "FlowlibError",
    "MaximumLikelihood",
    "OtherRun",
    "Progress",
    "Scores",
    "Table",
    "TrainConfig",
    "evaluate",
    "wilson",
]

_MODULES = {
    "artifact": ("Artifact",),
    "calibration": ("Calibration",),
    "density": ("Density", "Scores"),
    "encoder.encoder": ("Encoder",),
    "encoder.spec": ("EncoderConfig", "FeatureSpec"),
    "errors": ("ArtifactError", "EngineError", "FlowlibError", "OtherRun"),
    "evaluation": ("Evaluation", "evaluate"),
    "explain.explanation": ("Explanation",),
    "fit_config": ("FitConfig", "MaximumLikelihood"),
    "frames.estimator": ("FlowDensity",),
    "intervals": ("wilson",),
    "table": ("Table",),
    "training": ("Progress", "TrainConfig"),
}
"""The same as the imports above, for run time; a test holds the two together."""


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            value: object = getattr(importlib.import_module(f"flowlib.{module}"), name)
            globals()[name] = value  # the next look finds it without this function
            return value
    raise AttributeError(f"module 'flowlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
