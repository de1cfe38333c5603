"""Settings of the model: its flow, how it is trained, and with how much privacy."""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from stream_app.config.registries import ContextKind, DistanceName, EngineName, FlowName, MapName
from stream_app.config.types import Positive, Section


class ModelConfig(Section, frozen=True):
    """The flow and its training."""

    flow: FlowName = "maf"
    """Family of the flow."""
    engine: EngineName = "auto"
    """What runs the flow: ``auto`` takes the fused kernel, or TorchScript where that was not built or does not know the
    family."""
    seed: int = 0
    """Seed of training: the same rows and seed give the same model."""
    max_steps: Positive = 1_500
    """Training steps of a new model at most."""
    warm_steps: Positive = 400
    """Training steps of one that goes on from the model in service at most."""
    max_rows: Positive = 200_000
    """Rows that train at most; of more, an even share over time is taken."""
    context: list[ContextKind] = msgspec.field(default_factory=list)
    """What the flow is told beside the values: ``hour``, ``weekday`` and ``season`` of the event time in
    ``event.timezone``, and the event's ``slice``. The season is the day of the year: it is told
    once training rows have seen the year, without a gap of more than a month; until then it says nothing."""
    embedding: Annotated[int, Meta(ge=1, le=64)] = 8
    """Width of the learnt row of each slice, with the context ``slice``."""
    maps: list[MapName] = msgspec.field(default_factory=lambda: list(get_args(MapName)))
    """Kinds of scale that a column may be taken on; held-out likelihood chooses among them, column by column. With
    ``["standard"]`` alone what is far outside stays far, however heavy a column's tail was; the other kinds bend it in
    and gain likelihood. Over twelve public streams neither finds more of the anomalies, on single ones either does."""
    distance: DistanceName = "base"
    """What joins the likelihood in an event's score. ``base``: how far out the event is in the model, so that a newly
    trained model takes what a stream has become as ordinary. ``columns``: how far out in its columns alone.
    ``mixture``: how unlikely by Gaussian mixtures fitted beside the flow."""
    noise: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    """Standard deviation of the Gaussian noise that is added to the training rows, in units of each column's scale.
    More of it makes the density smoother."""
    contamination: Annotated[float, Meta(ge=0.0, lt=0.5)] = 0.0
    """Share of the training rows that may be anything: so many, the least likely, do not count."""


class PrivacyConfig(Section, frozen=True):
    """Differentially private training; each model's manifest says under ``privacy`` what it covers and what not."""

    enabled: bool = False
    """Train with differential privacy: DP-SGD, with ``epsilon`` charged to the budget before each training."""
    epsilon: Annotated[float, Meta(ge=0.01, le=100.0)] = 3.0
    """ε of one training. Below 1 the promise is strong and the model poor; above 10 the promise means little."""
    delta: Annotated[float, Meta(ge=1e-12, le=1e-2)] = 1e-5
    """δ; well below one over the number of events."""
    clip: Annotated[float, Meta(gt=0.0)] = 1.0
    """Bound on the norm of one event's gradient."""
    epsilon_budget: Annotated[float, Meta(gt=0.0)] = 10.0
    """ε that all trainings of the stream may cost together; a retrain beyond it is refused."""
