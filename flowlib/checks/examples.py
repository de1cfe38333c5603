"""What the checks run on, and how they fail."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowlib.flows import Flow

FlowMaker = Callable[[int, int, torch.Generator], Flow]
"""From features, context columns and the generator of its weights to a fresh flow."""

SPREAD = 0.15
"""Standard deviation of the noise on the weights of an :func:`example_flow`."""


def loosened(flow: Flow, spread: float = SPREAD, seed: int = 2) -> Flow:
    """The flow in evaluation mode, with noise on every weight: near the identity faults do not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in flow.parameters():
            weights.add_(spread * torch.randn(weights.shape, generator=generator, dtype=weights.dtype))
    return flow.eval()


def example_flow(make: FlowMaker, d: int = 4, context: int = 3, spread: float = SPREAD) -> Flow:
    """A seeded, loosened flow in double precision."""
    return loosened(make(d, context, torch.Generator().manual_seed(1)), spread).double()


def example_batch(n: int, d: int = 4, context: int = 3, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Seeded features ``(n, d)`` and context ``(n, c)`` in double precision."""
    generator = torch.Generator().manual_seed(3)
    x = scale * torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x, torch.rand(n, context, generator=generator, dtype=torch.float64)


def require(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence where it does not hold; ``python -O`` keeps it."""
    if not holds:
        raise AssertionError(sentence)


def require_close(ours: Tensor, theirs: Tensor, bound: float, sentence: str) -> None:
    """As :func:`require`, for tensors that agree within the bound, relative and absolute."""
    torch.testing.assert_close(
        ours, theirs.to(ours.dtype), rtol=bound, atol=bound, msg=lambda details: f"{sentence}: {details}"
    )
