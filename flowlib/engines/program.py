"""A flow as a program for the fused kernel: masks multiplied in, hidden units and features sorted by what they may see.

In this order the zeros of each masked matrix lie at the end of its rows, and the kernel stops before them: half of an
autoregressive network is never multiplied. Any order of the hidden units is the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.engines.base import Source
from flowlib.layouts import BOUND, MIN_BIN, MIN_SLOPE, SLOPE_ZERO, Layout, layer_names
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


_AFFINE = KernelTransform("affine")


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


def program(flow: Source) -> list[KernelBlock] | None:
    """The blocks of a flow, or None where its family has no program and another engine must score it."""
    blocks = flow.layouts or []
    if not blocks or any(block.bins > BINS_MAX or len(block.masks) < 2 for block in blocks):
        return None
    return [_sorted(block, _layers(k, block, flow.arrays)) for k, block in enumerate(blocks)]


def _transform(bins: int) -> KernelTransform:
    return KernelTransform("spline", bins, BOUND, MIN_BIN, MIN_BIN, MIN_SLOPE, SLOPE_ZERO) if bins else _AFFINE


def _layers(k: int, block: Layout, arrays: Mapping[str, Any]) -> list[tuple[Singles, Singles]]:
    """Weights, masks multiplied in, and biases."""
    layers = []
    for i, mask in enumerate(block.masks):
        weight, bias = (arrays[name] for name in layer_names(k, i))
        layers.append((weight * mask.astype(np.float32), bias))
    return layers


def _sorted(block: Layout, layers: list[tuple[Singles, Singles]]) -> KernelBlock:
    """Sort inputs, hidden units and features, each ascending by how much they see (inputs: by how many see them)."""
    features = block.features
    order = np.argsort(-block.masks[0].sum(axis=0), kind="stable")
    inputs, ordered = order, []
    for (weight, bias), mask in zip(layers, block.masks, strict=True):
        sees = mask.sum(axis=1)
        if mask is block.masks[-1]:
            places = np.argsort(sees[: len(features)], kind="stable")
            rows = (places[None, :] + len(features) * np.arange(block.parameters)[:, None]).reshape(-1)
            features = features[places]
        else:
            rows = np.argsort(sees, kind="stable")
        ordered.append(
            (np.ascontiguousarray(weight[rows][:, order], np.float32), np.ascontiguousarray(bias[rows], np.float32))
        )
        order = rows
    return KernelBlock(_transform(block.bins), inputs.astype(np.int32), features.astype(np.int32), ordered)
