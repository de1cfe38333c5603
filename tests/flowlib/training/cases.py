"""A short training of a small flow."""

from __future__ import annotations

import torch

from flowlib.flows import FLOWS, Flow
from flowlib.training import TrainConfig, TrainingRows

SMALL = TrainConfig(max_steps=40, check_every=10, batch=64)


def batch(n: int, seed: int, centre: float = 0.0, spread: float = 1.0) -> TrainingRows:
    """n normal rows of two features and two columns of context."""
    generator = torch.Generator().manual_seed(seed)
    features = centre + spread * torch.randn(n, 2, generator=generator)
    return TrainingRows(features, torch.zeros(n, 2), torch.zeros(n, 2, dtype=torch.bool))


def fresh(seed: int = 0) -> Flow:
    """A small MAF."""
    return FLOWS["maf"](2, 2, torch.Generator().manual_seed(seed), blocks=2, hidden=8)


def weights(flow: Flow) -> torch.Tensor:
    """All weights, one after the other."""
    return torch.cat([part.detach().flatten() for part in flow.parameters()])
