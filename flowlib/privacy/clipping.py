"""Gradients of single rows, clipped and summed without ever making one of them.

The norm of a row's gradient in a linear layer follows from the layer's input ``a`` and the gradient ``g`` at its output,
which one backward pass gives (ghost clipping: Li et al., arXiv 2110.05679; book-keeping: Bu et al., arXiv 2210.00038),
masked layers included: ``‖∂W‖² = ((g²·M) ∘ a²).sum()``, ``‖∂b‖² = g².sum()``; the clipped sum is ``((c·g)ᵀ a) ∘ M``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flowlib.flows import Flow
from flowlib.flows.nets import MaskedLinear


def clipped_sum(flow: Flow, features: Tensor, context: Tensor, clip: float) -> list[tuple[Tensor, Tensor]]:
    """For each parameter the sum over rows of the gradients of −log p, each row's scaled to a joint norm of at most clip.

    A row whose gradient is not finite adds nothing.
    """
    seen, grads = _pass(flow, features, context)
    square = sum((_norm_sq(s, g) for s, g in zip(seen, grads, strict=True)), torch.zeros(len(features)))
    good = torch.isfinite(square)
    share = torch.clamp(clip / (square.sqrt() + 1e-12), max=1.0)[:, None]
    if not good.all():
        share, seen, grads = share[good], [s.of(good) for s in seen], [g[good] for g in grads]
    return [pair for s, g in zip(seen, grads, strict=True) for pair in _sums(s, g * share)]


@dataclass
class _Seen:
    """A layer's input and output in one pass."""

    layer: nn.Module
    entered: Tensor
    left: Tensor

    def of(self, rows: Tensor) -> _Seen:
        """Some of the rows."""
        return _Seen(self.layer, self.entered[rows], self.left)


def _pass(flow: Flow, features: Tensor, context: Tensor) -> tuple[list[_Seen], Sequence[Tensor]]:
    """One pass forward and one back, as far as the layers' outputs: the parameters' own gradients are never made."""
    with _watched(flow) as seen, torch.enable_grad():
        loss = -flow.log_prob(features.detach().requires_grad_(), context).sum()
    return seen, torch.autograd.grad(loss, [s.left for s in seen])


@contextmanager
def _watched(flow: Flow) -> Iterator[list[_Seen]]:
    seen: list[_Seen] = []
    wanted = layers_of(flow)
    for parameter in flow.parameters():
        parameter.requires_grad_(False)

    def note(layer: nn.Module, entered: tuple[Tensor, ...], left: Tensor) -> Tensor:
        if any(s.layer is layer for s in seen):
            raise ValueError(
                f"{type(layer).__name__} is used twice in one pass: its gradients of single rows are not known"
            )
        out = left if left.requires_grad else left.requires_grad_()
        seen.append(_Seen(layer, entered[0].detach(), out))
        return out

    handles = [layer.register_forward_hook(note) for layer in wanted]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for parameter in flow.parameters():
            parameter.requires_grad_(True)


def layers_of(flow: Flow) -> list[nn.Module]:
    """Layers with parameters, all of them of a kind that is known here; raises ValueError otherwise."""
    layers = [module for module in flow.modules() if any(True for _ in module.parameters(recurse=False))]
    for layer in layers:
        if not isinstance(layer, nn.Linear | nn.Embedding):
            raise ValueError(
                f"{type(flow).__name__} holds parameters in {type(layer).__name__}: private training knows the gradients of "
                "single rows of Linear, MaskedLinear and Embedding layers only; choose another flow family"
            )
    return layers


def _norm_sq(seen: _Seen, grad: Tensor) -> Tensor:
    """``(n,)`` squared norm of each row's gradient in one layer."""
    square = grad * grad
    if isinstance(seen.layer, nn.Embedding):
        return square.sum(dim=1)
    weighted = square @ seen.layer.mask if isinstance(seen.layer, MaskedLinear) else square.sum(dim=1, keepdim=True)
    bias = square.sum(dim=1) if seen.layer.bias is not None else 0.0
    return (seen.entered * seen.entered).mul_(weighted).sum(dim=1) + bias


def _sums(seen: _Seen, grad: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The layer's parameters with their gradients summed over rows."""
    layer = seen.layer
    if isinstance(layer, nn.Embedding):
        return [(layer.weight, torch.zeros_like(layer.weight).index_add_(0, seen.entered, grad))]
    assert isinstance(layer, nn.Linear)
    weight = grad.T @ seen.entered
    found = [(layer.weight, weight * layer.mask if isinstance(layer, MaskedLinear) else weight)]
    return found if layer.bias is None else [*found, (layer.bias, grad.sum(dim=0))]
