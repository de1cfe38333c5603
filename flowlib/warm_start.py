"""Whether training goes on from an earlier model, or begins afresh."""

from __future__ import annotations

from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.table import Table


def goes_on(encoder: Encoder, spec: FeatureSpec, train: Table, config: EncoderConfig) -> bool:
    """Whether an earlier model's encoder can be kept for training rows.

    Columns and settings must be the same, and those rows must not let it tell the season for the first time, of which
    the flow that it has served knows nothing.
    """
    if (encoder.spec, encoder.config) != (spec, config):
        return False
    return "season" not in config.context or encoder.told(train).knows_season == encoder.knows_season
