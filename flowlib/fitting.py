"""Encoder and flow of a density, fitted; see :meth:`flowlib.Density.fit`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig
from flowlib.flows import FLOWS, Flow
from flowlib.surroundings import undisturbed
from flowlib.table import Floats, Singles, Table
from flowlib.training import TrainingRows
from flowlib.training.slice_table import attach, detach
from flowlib.warm_start import goes_on


class Fitted(Protocol):
    """What training can go on from."""

    @property
    def encoder(self) -> Encoder:
        """Its encoder."""

    @property
    def flow(self) -> Flow:
        """Its flow."""

    @property
    def flow_name(self) -> str:
        """Family of the flow."""


@undisturbed()
def fit(
    spec: FeatureSpec, train: Table, valid: Table, seed: int, config: FitConfig | None, warm_start: Fitted | None
) -> tuple[Encoder, Flow, FitConfig]:
    """Fit an encoder and a flow; the arguments are those of :meth:`flowlib.Density.fit`.

    Returns:
        Both, the flow in evaluation mode, and the settings.
    """
    config = config or FitConfig()
    encoder, flow = _start(spec, train, seed, config, warm_start)
    if encoder.slice_table.size:
        attach(flow, encoder.slice_table, torch.Generator().manual_seed(seed))
    config.learn(flow, TrainingRows.of(encoder, train, "train"), TrainingRows.of(encoder, valid, "valid"), seed)
    flow.eval()
    if encoder.slice_table.size:
        encoder = replace(encoder, slice_table=detach(flow))
    return encoder, flow, config


def features(encoder: Encoder, *tables: Floats) -> Singles:
    """``(n, d)`` encoded rows of tables of raw numbers that can be scored: a span at a time and without their context,
    since of many rows all that an encoder gives is several tables more.
    """
    found = []
    for numeric in tables:
        for start in range(0, len(numeric), encoder.chunk):
            values, *_, scorable = encoder.numbers(numeric[start : start + encoder.chunk])
            found.append(values[scorable])
    return np.concatenate(found)


def _start(
    spec: FeatureSpec, train: Table, seed: int, config: FitConfig, warm_start: Fitted | None
) -> tuple[Encoder, Flow]:
    """Encoder and flow before training: those of the warm start as far as they fit."""
    warm = warm_start is not None and goes_on(warm_start.encoder, spec, train, config.encoder)
    encoder = warm_start.encoder.told(train) if warm and warm_start else Encoder.fit(spec, train, config.encoder)
    if warm and warm_start and warm_start.flow_name == config.flow_name:
        return encoder, copy.deepcopy(warm_start.flow)
    generator = torch.Generator().manual_seed(seed)
    return encoder, FLOWS[config.flow_name](len(spec.numeric), encoder.context_width, generator)
