"""A stream with a small model of its own, made once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from schemas.records import ModelNotice
from stream_app.config import Config, EventConfig, TopicsConfig, WindowsConfig


def config_in(folder: Path, stream: str = "s", numeric: tuple[str, ...] = ("x", "y")) -> Config:
    """A stream whose keys, models and state lie in a folder."""
    event = EventConfig(time_field="t", numeric=list(numeric))
    return Config(stream=stream, topics=TopicsConfig(events="e"), event=event, root=str(folder))


ABOUT = {"stream": "s", "slicings": [[]]}


@cache
def density() -> Density:
    """A model of the stream ``s`` with the columns x and y; read-only."""
    parts = [Table.of(np.random.default_rng(seed).standard_normal((200, 2)).astype(np.float32)) for seed in range(3)]
    learn = MaximumLikelihood(TrainConfig(max_steps=5))
    made = Density.fit(FeatureSpec(("x", "y")), *parts, 0, FitConfig(learn=learn), manifest=ABOUT)
    return made.with_reference(parts[2], int(WindowsConfig().pane))


def notice_of(model_id: str, status: str = "promoted") -> ModelNotice:
    """What was decided about a model."""
    return ModelNotice(
        stream="s",
        status=status,  # type: ignore[arg-type]
        model_id=model_id,
        parent_id="",
        request_id=f"r-{model_id}",
        created_ms=1,
        reason="calibration: held",
        gates={},
        train_rows=200,
    )
