"""A tiny model, trained once a session, and a stream to run through the pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from tests.stages.streams import CATEGORIES, NUMERIC, PANE, held_out, table


def _fit(seed: int, model_id: str) -> Density:
    parts = [Table.of(*table(np.random.default_rng(100 * seed + i), n)) for i, n in enumerate((600, 200, 400))]
    density = Density.fit(
        FeatureSpec(NUMERIC, CATEGORIES),
        parts[0],
        valid=parts[1],
        calibration=parts[2],
        seed=seed,
        config=FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=60))),
        manifest={"stream": "s", "slicings": [["station"], []]},
    )
    density = density.with_reference(held_out(seed), PANE)
    # A copy of a dataclass is built anew: what normal is stays with it.
    return replace(density, model_id=model_id)


@pytest.fixture(scope="session")
def model() -> Density:
    """The model in service."""
    return _fit(1, "model-1")


@pytest.fixture(scope="session")
def other_model() -> Density:
    """A second model of the same stream."""
    return _fit(2, "model-2")
