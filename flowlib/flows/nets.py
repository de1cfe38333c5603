"""Masked networks: one pass gives every conditional's parameters.

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


def autoregressive_net(
    order: Tensor,
    context: int,
    hidden: int,
    layers: int,
    generator: torch.Generator,
    outputs: int = 2,
    turn: tuple[int, int] = (0, 1),
) -> nn.Sequential:
    """A MADE: ``outputs`` numbers for each feature, which depend on the features before it in ``order`` only.

    Args:
        order: ``(d,)`` permutation: place of each feature in the autoregressive order.
        context: unmasked conditioning columns, after the features in the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        generator: source of the initial weights.
        outputs: numbers for each feature; number p of feature i is output ``p·d + i``.
        turn: ``(k, n)``, the k-th of n nets of one flow, from 0: see :func:`_degrees`.
    """
    degrees = _degrees(hidden, order, *turn)
    first = torch.cat([degrees[:, None] >= order[None, :], torch.ones(hidden, context, dtype=torch.bool)], dim=1)
    inner = degrees[:, None] >= degrees[None, :]
    last = (order[:, None] > degrees[None, :]).repeat(outputs, 1)
    return _masked([first, *[inner] * (layers - 1), last], generator)


def _degrees(hidden: int, order: Tensor, k: int, n: int) -> Tensor:
    """``(hidden,)``: a unit of degree m sees features up to place m and reaches those after it.

    A unit of degree −1 sees the context alone, so that the context reaches the first feature. A unit separates the
    features up to its degree from those after it; of two features that no unit separates neither sees the other. With
    fewer units than features each net separates them at even distances, and each of the n nets of a flow at places of
    its own: together they separate each feature from the next where n·(hidden − 1) ≥ d − 1. Otherwise some neighbours
    depend on each other through a third feature only.
    """
    d = len(order)
    if d <= hidden:
        return torch.arange(hidden) % d - 1
    degrees = (torch.arange(hidden - 1) * n + k) * (d - 1) // ((hidden - 1) * n)
    if order[0] > order[-1]:  # backwards: the same two columns are separated at the mirrored place
        degrees = d - 2 - degrees
    return torch.cat([torch.tensor([-1]), degrees])


def coupling_net(
    keep: Tensor, context: int, hidden: int, layers: int, generator: torch.Generator, outputs: int
) -> nn.Sequential:
    """A network that gives ``outputs`` numbers for each feature that is not kept, from those that are and the context.

    Args:
        keep: ``(d,)`` bool: features that the outputs may depend on.
        context: conditioning columns, after the features in the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        generator: source of the initial weights.
        outputs: numbers for each changed feature; number p of the i-th of m is output ``p·m + i``.
    """
    first = torch.cat([keep, torch.ones(context, dtype=torch.bool)]).repeat(hidden, 1)
    inner = torch.ones(hidden, hidden, dtype=torch.bool)
    last = torch.ones(outputs * int((~keep).sum()), hidden, dtype=torch.bool)
    return _masked([first, *[inner] * (layers - 1), last], generator)


def bake(net: nn.Sequential) -> nn.Sequential:
    """The same network with every mask multiplied into its weights."""
    return nn.Sequential(*[layer.baked() if isinstance(layer, MaskedLinear) else layer for layer in net])


def _masked(masks: list[Tensor], generator: torch.Generator) -> nn.Sequential:
    """Masked layers with ReLU between; the last starts small, so that a flow starts near the identity."""
    modules: list[nn.Module] = []
    for mask in masks[:-1]:
        modules += [_init(MaskedLinear(mask.float()), generator, 1.0), nn.ReLU()]
    return nn.Sequential(*modules, _init(MaskedLinear(masks[-1].float()), generator, 0.1))


def _init(layer: MaskedLinear, generator: torch.Generator, gain: float) -> MaskedLinear:
    bound = gain / max(float(layer.mask.sum(dim=1).mean()), 1.0) ** 0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
