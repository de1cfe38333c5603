"""Masked networks: one MADE gives every conditional's parameters in a single pass.

Germain, Gregor, Murray & Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskedLinear(nn.Linear):
    """Linear layer whose weight is multiplied by a fixed 0/1 mask ``(out, in)``."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` → ``(n, out)``."""
        return nn.functional.linear(x, self.weight * self.mask, self.bias)

    def baked(self) -> nn.Linear:
        """A plain layer with the mask multiplied into the weight: one multiplication less at each call."""
        plain = nn.Linear(self.in_features, self.out_features)
        with torch.no_grad():
            plain.weight.copy_(self.weight * self.mask)
            plain.bias.copy_(self.bias)
        return plain


def made(d: int, context: int, hidden: int, layers: int, order: Tensor, generator: torch.Generator) -> nn.Sequential:
    """A MADE with ``2d`` outputs (shift and log-scale), output i depending on inputs before it in ``order`` only.

    Args:
        d: features.
        context: unmasked conditioning columns, after the features in the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        order: ``(d,)`` permutation: place of each feature in the autoregressive order.
        generator: source of the initial weights.
    """
    # Degree m: may see features up to place m. Degree -1 sees the context alone, so that it reaches the first feature.
    degrees = torch.arange(hidden) % d - 1
    first = torch.cat([degrees[:, None] >= order[None, :], torch.ones(hidden, context, dtype=torch.bool)], dim=1)
    modules: list[nn.Module] = [_init(MaskedLinear(first.float()), generator, 1.0), nn.ReLU()]
    for _ in range(layers - 1):
        inner = degrees[:, None] >= degrees[None, :]
        modules += [_init(MaskedLinear(inner.float()), generator, 1.0), nn.ReLU()]
    last = (order[:, None] > degrees[None, :]).repeat(2, 1)
    modules.append(_init(MaskedLinear(last.float()), generator, 0.1))
    return nn.Sequential(*modules)


def _init(layer: MaskedLinear, generator: torch.Generator, gain: float) -> MaskedLinear:
    bound = gain / max(float(layer.mask.sum(dim=1).mean()), 1.0) ** 0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
