"""Flows to test on: of every family, with weights away from their start."""

from __future__ import annotations

import torch

from flowlib.flows import FLOWS, Flow

NAMES = sorted(FLOWS)
SPREAD = 0.15


def loosened(flow: Flow, spread: float = SPREAD, seed: int = 2) -> Flow:
    """The flow with noise on every weight, so that nothing is near the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in flow.parameters():
            weights += spread * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return flow.eval()


def small(name: str, blocks: int = 3, hidden: int = 16) -> dict[str, int]:
    """Settings that keep a test short."""
    return {} if name == "mixture" else {"blocks": blocks, "hidden": hidden}


def a_flow(name: str, d: int = 4, context: int = 3, spread: float = SPREAD) -> Flow:
    """A small, loosened flow in double precision."""
    return loosened(FLOWS[name](d, context, torch.Generator().manual_seed(1), **small(name)), spread).double()


def rows(n: int, d: int = 4, context: int = 3, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeded features and context, double precision."""
    g = torch.Generator().manual_seed(3)
    x = scale * torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, torch.rand(n, context, generator=g, dtype=torch.float64)
