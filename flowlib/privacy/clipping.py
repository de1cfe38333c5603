"""Gradients of single rows, clipped and summed without computing any of them.

The norm of a row's gradient in a linear layer follows from the layer's input ``a`` and the gradient ``g`` at its
output, which one backward pass gives (ghost clipping: Li et al., arXiv 2110.05679; book-keeping: Bu et al., arXiv
2210.00038), masked layers included: ``‖∂W‖² = ((g²·M) ∘ a²).sum()``, ``‖∂b‖² = g².sum()``. The clipped sum is
``((c·g)ᵀ a) ∘ M``.
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
    """For each parameter the sum of the rows' gradients of −log p, each row's scaled to a joint norm of at most clip.

    A row whose gradient is not finite adds nothing.
    """
    activations, grads = _pass(flow, features, context)
    square = sum((_norm_sq(a, g) for a, g in zip(activations, grads, strict=True)), torch.zeros(len(features)))
    finite = torch.isfinite(square)
    share = torch.clamp(clip / (square.sqrt() + 1e-12), max=1.0)[:, None]
    if not finite.all():
        share, activations, grads = share[finite], [a.take(finite) for a in activations], [g[finite] for g in grads]
    return [pair for a, g in zip(activations, grads, strict=True) for pair in _sums(a, g * share)]


@dataclass
class _Activation:
    """A layer's input and output in one pass."""

    layer: nn.Module
    inputs: Tensor
    outputs: Tensor

    def take(self, rows: Tensor) -> _Activation:
        """The same with the inputs of some of the rows."""
        return _Activation(self.layer, self.inputs[rows], self.outputs)


def _pass(flow: Flow, features: Tensor, context: Tensor) -> tuple[list[_Activation], Sequence[Tensor]]:
    """One pass forward and one back to the layers' outputs: the gradients of the parameters are not computed."""
    with _watched(flow) as activations, torch.enable_grad():
        loss = -flow.log_prob(features.detach().requires_grad_(), context).sum()
    return activations, torch.autograd.grad(loss, [activation.outputs for activation in activations])


@contextmanager
def _watched(flow: Flow) -> Iterator[list[_Activation]]:
    """While it is open, a pass through the flow appends each layer's inputs and outputs to the list."""
    activations: list[_Activation] = []
    layers = layers_of(flow)
    for parameter in flow.parameters():
        parameter.requires_grad_(False)

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        if any(activation.layer is layer for activation in activations):
            raise ValueError(
                f"{type(layer).__name__} is used twice in one pass, so its gradients of single rows are unknown: use "
                "each layer once, or train without privacy"
            )
        outputs = outputs if outputs.requires_grad else outputs.requires_grad_()
        activations.append(_Activation(layer, inputs[0].detach(), outputs))
        return outputs

    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()
        for parameter in flow.parameters():
            parameter.requires_grad_(True)


def layers_of(flow: Flow) -> list[nn.Module]:
    """Layers with parameters; raises ValueError where one is neither Linear nor Embedding."""
    layers = [module for module in flow.modules() if any(True for _ in module.parameters(recurse=False))]
    for layer in layers:
        if not isinstance(layer, nn.Linear | nn.Embedding):
            raise ValueError(
                f"{type(flow).__name__} holds parameters in {type(layer).__name__}: private training knows gradients "
                "of single rows of Linear, MaskedLinear and Embedding layers only; choose another flow family"
            )
    return layers


def _norm_sq(activation: _Activation, grad: Tensor) -> Tensor:
    """``(n,)`` squared norm of each row's gradient in one layer."""
    square = grad * grad
    if isinstance(activation.layer, nn.Embedding):
        return square.sum(dim=1)
    weighted = (
        square @ activation.layer.mask
        if isinstance(activation.layer, MaskedLinear)
        else square.sum(dim=1, keepdim=True)
    )
    bias = square.sum(dim=1) if activation.layer.bias is not None else 0.0
    return (activation.inputs * activation.inputs).mul_(weighted).sum(dim=1) + bias


def _sums(activation: _Activation, grad: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The layer's parameters with their gradients summed over rows."""
    layer = activation.layer
    if isinstance(layer, nn.Embedding):
        return [(layer.weight, torch.zeros_like(layer.weight).index_add_(0, activation.inputs, grad))]
    assert isinstance(layer, nn.Linear)
    weight = grad.T @ activation.inputs
    pairs = [(layer.weight, weight * layer.mask if isinstance(layer, MaskedLinear) else weight)]
    return pairs if layer.bias is None else [*pairs, (layer.bias, grad.sum(dim=0))]
