"""A flow as a program for the fused kernel: masks multiplied in, hidden units and features sorted by what they may see.

In this order the zeros of each masked matrix lie at the end of its rows, and the kernel stops before them: half of an
autoregressive network is never multiplied. Any order of the hidden units is the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from flowlib.flows.nets import MaskedLinear
from flowlib.flows.stack import AutoregressiveBlock, CouplingBlock, Stack
from flowlib.flows.transforms import Affine, RationalQuadratic
from flowlib.table import Singles

Columns = npt.NDArray[np.int32]

BINS_MAX = 64
"""Bins of a spline that the kernel has room for."""


@dataclass(frozen=True)
class KernelTransform:
    """How a block uses its network's outputs, in the names of the kernel.

    Attributes:
        kind: ``affine`` (shift, log-scale) or ``spline`` (widths, heights, inner slopes).
        bins: bins of the spline.
        bound: the spline acts on ``[-bound, bound]``; outside it is the identity.
        slope_shift: added to a raw slope before softplus.
    """

    kind: str
    bins: int = 0
    bound: float = 0.0
    min_width: float = 0.0
    min_height: float = 0.0
    min_slope: float = 0.0
    slope_shift: float = 0.0

    @property
    def parameters(self) -> int:
        """Outputs of the network for each feature."""
        return 2 if self.kind == "affine" else 3 * self.bins - 1


@dataclass(frozen=True)
class KernelBlock:
    """One transform and its network, as the kernel takes them.

    Attributes:
        inputs: column of ``[features | context]`` that each input of the first layer reads.
        features: columns that are transformed; output ``p · len(features) + i`` is parameter p of feature i.
        layers: weights ``(out, in)`` and biases ``(out,)``; ReLU between them.
    """

    transform: KernelTransform
    inputs: Columns
    features: Columns
    layers: list[tuple[Singles, Singles]]

    def packed(self) -> tuple[Any, ...]:
        """The tuple that the extension takes."""
        t = self.transform
        numbers = (t.bins, t.bound, t.min_width, t.min_height, t.min_slope, t.slope_shift)
        return (t.kind, numbers, self.inputs, self.features, self.layers)


def program(flow: nn.Module) -> list[KernelBlock] | None:
    """The blocks of a flow, or None where its family has no program and another engine must score it."""
    blocks = [_block(block) for block in flow.blocks] if isinstance(flow, Stack) else []
    return cast(list[KernelBlock], blocks) if blocks and all(block is not None for block in blocks) else None


def _block(block: nn.Module) -> KernelBlock | None:
    if isinstance(block, AutoregressiveBlock):
        features = np.arange(block.d)
    elif isinstance(block, CouplingBlock):
        features = block.changed.numpy()
    else:
        return None
    transform = _transform(block.transform)
    linears = [layer for layer in block.net if isinstance(layer, nn.Linear)]
    return None if transform is None or len(linears) < 2 else _sorted(transform, linears, features)


def _transform(transform: nn.Module) -> KernelTransform | None:
    if isinstance(transform, Affine):
        return KernelTransform("affine")
    if isinstance(transform, RationalQuadratic) and transform.bins <= BINS_MAX:
        t = transform
        return KernelTransform("spline", t.bins, t.bound, t.min_bin, t.min_bin, t.min_slope, t.slope_zero)
    return None


def _sorted(transform: KernelTransform, linears: list[nn.Linear], features: Any) -> KernelBlock:
    """Sort inputs, hidden units and features, each ascending by how much they see (inputs: by how many see them)."""
    masks = [_mask(layer).numpy() for layer in linears]
    order = np.argsort(-masks[0].sum(axis=0), kind="stable")
    inputs, layers = order, []
    for layer, mask in zip(linears, masks, strict=True):
        sees = mask.sum(axis=1)
        if layer is linears[-1]:
            places = np.argsort(sees[: len(features)], kind="stable")
            rows = (places[None, :] + len(features) * np.arange(transform.parameters)[:, None]).reshape(-1)
            features = features[places]
        else:
            rows = np.argsort(sees, kind="stable")
        weight = (layer.weight.detach() * torch.from_numpy(mask)).numpy()[rows][:, order]
        layers.append((np.ascontiguousarray(weight, np.float32), _contiguous(layer.bias.detach(), rows)))
        order = rows
    return KernelBlock(transform, inputs.astype(np.int32), features.astype(np.int32), layers)


def _mask(layer: nn.Linear) -> Tensor:
    return layer.mask if isinstance(layer, MaskedLinear) else torch.ones_like(layer.weight)


def _contiguous(bias: Tensor, rows: Any) -> Singles:
    return np.ascontiguousarray(bias.numpy()[rows], np.float32)
