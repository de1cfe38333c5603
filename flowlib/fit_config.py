"""How a density is fitted: family of the flow, how it is trained, encoder, distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from flowlib.encoder.spec import EncoderConfig
from flowlib.flows import FLOWS, Flow
from flowlib.training import Progress, TrainConfig, TrainingRows, fit_flow

Learn = Callable[[Flow, TrainingRows, TrainingRows, int], object]
"""Trains a flow in place: ``(flow, training rows, validation rows, seed)``. It holds its own settings."""

DISTANCES = ("columns", "mixture", "base")
"""What joins the likelihood in the score; see :mod:`flowlib.calibration`."""


@dataclass(frozen=True)
class MaximumLikelihood:
    """The usual :data:`Learn`: :func:`flowlib.training.fit_flow`.

    Attributes:
        config: settings of the optimiser.
        progress: called at each look at the validation rows.
    """

    config: TrainConfig = field(default_factory=TrainConfig)
    progress: Callable[[Progress], None] | None = None

    def __call__(self, flow: Flow, train: TrainingRows, valid: TrainingRows, seed: int) -> None:
        fit_flow(flow, train, valid, self.config, seed, self.progress)


@dataclass(frozen=True)
class FitConfig:
    """Settings of :meth:`flowlib.Density.fit`.

    Attributes:
        flow_name: family, of :data:`flowlib.flows.FLOWS`.
        learn: trains the flow.
        encoder: settings of the encoder.
        distance: of :data:`DISTANCES`.
        weight: of the distance beside the likelihood, ≥ 0; 0 leaves the likelihood alone.

    Raises:
        ValueError: no such family or distance, or a weight that is negative or not finite.

    >>> config = FitConfig("spline_coupling", MaximumLikelihood(TrainConfig(max_steps=300)))
    >>> config.distance
    'columns'
    """

    flow_name: str = "maf"
    learn: Learn = field(default_factory=MaximumLikelihood)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    distance: str = "columns"
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name, value, allowed in (("flow_name", self.flow_name, FLOWS), ("distance", self.distance, DISTANCES)):
            if value not in allowed:
                raise ValueError(f"{name}: one of {', '.join(allowed)}, got {value!r}")
        if not 0.0 <= self.weight < math.inf:
            raise ValueError(f"weight: expected a finite number of at least 0, got {self.weight!r}")
