"""Masked networks: one pass gives every conditional's parameters.

Germain, Gregor, Murray & Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowlib.table import Bools


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


def masked_net(masks: Sequence[Bools], generator: torch.Generator) -> nn.Sequential:
    """Masked layers with ReLU between, of :mod:`flowlib.layouts`' masks; the last starts small, so that a flow starts
    near the identity.
    """
    layers = [MaskedLinear(torch.from_numpy(mask).float()) for mask in masks]
    modules: list[nn.Module] = []
    for layer in layers[:-1]:
        modules += [_init(layer, generator, 1.0), nn.ReLU()]
    return nn.Sequential(*modules, _init(layers[-1], generator, 0.1))


def bake(net: nn.Sequential) -> nn.Sequential:
    """The same network with every mask multiplied into its weights."""
    return nn.Sequential(*[layer.baked() if isinstance(layer, MaskedLinear) else layer for layer in net])


def _init(layer: MaskedLinear, generator: torch.Generator, gain: float) -> MaskedLinear:
    bound = gain / max(float(layer.mask.sum(dim=1).mean()), 1.0) ** 0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
