"""Exact likelihoods for tabular events: fit, score, calibrate, sign. Imports nothing of the application."""

from flowlib.calibration import Calibration
from flowlib.density import Density, Scores
from flowlib.encoder.encoder import Encoder, FeatureSpec
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig

__all__ = ["Calibration", "Density", "Encoder", "FeatureSpec", "Progress", "Scores", "Table", "TrainConfig"]
