"""What flows made of blocks are without their weights, in NumPy: orders, masks and transforms, by family.

PyTorch's modules are built by it (:mod:`flowlib.flows`), and so is the program of the fused kernel
(:mod:`flowlib.engines.program`): who scores with stored weights does without PyTorch.

Germain, Gregor, Murray & Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509, for the
masks of autoregressive blocks; the families' own papers stand in :mod:`flowlib.flows`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flowlib.table import Bools, Ints

BOUND = 5.0
"""Where splines end and the identity begins, in robust scale units: ±5 holds all but the tails. zuko's splines end at
5, those of Durkan et al. at 3."""

MIN_BIN = 1e-3
"""Least width and height of a bin, as a share of the whole (Durkan et al., appendix B.1)."""

MIN_SLOPE = 1e-3
"""Least derivative at a knot (same source)."""

SLOPE_ZERO = math.log(math.expm1(1.0 - MIN_SLOPE))
"""Added to a raw slope before softplus: parameters of 0 give slope 1."""


@dataclass(frozen=True)
class Layout:
    """One block.

    Attributes:
        order: ``(d,)`` place of each feature: it depends on features of a lower place only.
        masks: of each layer of its network, ``(out, in)``, the context behind the features in the first one's input.
            Output ``p·m + i`` is parameter p of the i-th of m features that are transformed.
        bins: of its spline; 0 for an affine transform.
        coupling: the features at place 0 stay as they are, the others are transformed; else all are.
    """

    order: Ints
    masks: tuple[Bools, ...]
    bins: int = 0
    coupling: bool = False

    @property
    def features(self) -> Ints:
        """``(m,)`` columns that are transformed."""
        return np.flatnonzero(self.order) if self.coupling else np.arange(len(self.order))

    @property
    def parameters(self) -> int:
        """Outputs of the network for each feature."""
        return parameters(self.bins)


def parameters(bins: int) -> int:
    """Numbers that a transform needs for a feature: shift and log-scale, or widths, heights and inner slopes."""
    return 3 * bins - 1 if bins else 2


def check_bins(bins: int) -> int:
    """The same; ValueError unless a spline may have so many."""
    if not 2 <= bins <= 64:
        raise ValueError(f"a spline has 2 to 64 bins, got {bins}")
    return bins


# Families -------------------------------------------------------------------------------------------------------------


def maf(d: int, context: int, blocks: int, hidden: int, layers: int) -> list[Layout]:
    """Of :class:`flowlib.flows.Maf`."""
    return _autoregressive(d, context, [0] * blocks, hidden, layers)


def spline_autoregressive(d: int, context: int, blocks: int, hidden: int, layers: int, bins: int) -> list[Layout]:
    """Of :class:`flowlib.flows.SplineAutoregressive`."""
    return _autoregressive(d, context, [check_bins(bins) if k else 0 for k in range(blocks)], hidden, layers)


def affine_coupling(d: int, context: int, blocks: int | None, hidden: int, layers: int) -> list[Layout]:
    """Of :class:`flowlib.flows.AffineCoupling`."""
    return [_coupling(keep, context, 0, hidden, layers) for keep in splits(d, blocks)]


def spline_coupling(d: int, context: int, blocks: int | None, hidden: int, layers: int, bins: int) -> list[Layout]:
    """Of :class:`flowlib.flows.SplineCoupling`."""
    check_bins(bins)
    keeps = splits(d, blocks)
    return [_coupling(keep, context, bins if k > 1 else 0, hidden, layers) for k, keep in enumerate(keeps)]


LAYOUTS: Mapping[str, Callable[..., list[Layout]]] = {
    "maf": maf,
    "spline_autoregressive": spline_autoregressive,
    "spline_coupling": spline_coupling,
    "affine_coupling": affine_coupling,
}
"""By family, of its hyperparameters; families that are not made of blocks have none."""

MEMBERS = ("maf", "spline_autoregressive", "spline_coupling", "affine_coupling")
"""Families by bit of an ensemble's ``members``; stored models hold the bits, so new ones go to the end."""

_DEFAULTS: Mapping[str, Mapping[str, int | None]] = {
    "maf": {"blocks": 5},
    "spline_autoregressive": {"blocks": 5, "bins": 8},
    "spline_coupling": {"blocks": None, "bins": 8},
    "affine_coupling": {"blocks": None},
}


def of(family: str, sizes: Mapping[str, int]) -> list[Layout]:
    """The blocks of a family's flow with these hyperparameters; those left out are the family's own.

    Raises:
        KeyError: there is no such family.
        TypeError: the family has no such hyperparameter.
    """
    return LAYOUTS[family](**{**_DEFAULTS[family], **sizes})


def layer_names(block: int, layer: int) -> tuple[str, str]:
    """Of weight and bias of a layer of a block, as they are stored: between two layers stands a ReLU."""
    name = f"blocks.{block}.net.{2 * layer}"
    return f"{name}.weight", f"{name}.bias"


def _autoregressive(d: int, context: int, bins: list[int], hidden: int, layers: int) -> list[Layout]:
    """Blocks forward and backward in turn."""
    orders = [np.arange(d) if k % 2 == 0 else np.arange(d)[::-1].copy() for k in range(len(bins))]
    return [
        Layout(order, autoregressive_masks(order, context, hidden, layers, parameters(of), (k, len(bins))), of)
        for k, (order, of) in enumerate(zip(orders, bins, strict=True))
    ]


def _coupling(keep: Bools, context: int, bins: int, hidden: int, layers: int) -> Layout:
    masks = coupling_masks(keep, context, hidden, layers, parameters(bins))
    return Layout((~keep).astype(np.int64), masks, bins, coupling=True)


def hidden_units(d: int, hidden: int | None) -> int:
    """Units of a hidden layer: ``hidden`` where it is set, else 64, above 16 features 128 (``flowlib/FINDINGS.md``)."""
    return hidden or (64 if d <= 16 else 128)


def splits(d: int, blocks: int | None) -> list[Bools]:
    """Which features stay in each coupling block, ``(d,)`` each.

    Those with a 1, then those with a 0, in bit 0, bit 1 … of their number: each two features are on different sides of
    some block.
    Gao, Isaacson & Krause, "i-flow", arXiv 2001.05486, section 3: 2·⌈log₂ d⌉ blocks see every pair, the default (4 at
    least). A single feature never stays.
    """
    bits = max((d - 1).bit_length(), 1)
    number = np.arange(d)
    return [
        (number >> (k // 2 % bits)) % 2 != k % 2 if d > 1 else np.zeros(1, dtype=bool)
        for k in range(blocks or max(4, 2 * bits))
    ]


# Masks ----------------------------------------------------------------------------------------------------------------


def autoregressive_masks(
    order: Ints, context: int, hidden: int, layers: int, outputs: int = 2, turn: tuple[int, int] = (0, 1)
) -> tuple[Bools, ...]:
    """Of a MADE: ``outputs`` numbers for each feature, which depend on the features before it in ``order`` only.

    Args:
        order: ``(d,)`` permutation: place of each feature in the autoregressive order.
        context: unmasked conditioning columns, after the features in the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        outputs: numbers for each feature; number p of feature i is output ``p·d + i``.
        turn: ``(k, n)``, the k-th of n nets of one flow, from 0: see :func:`_degrees`.
    """
    degrees = _degrees(hidden, order, *turn)
    first = np.concatenate([degrees[:, None] >= order[None, :], np.ones((hidden, context), dtype=bool)], axis=1)
    inner = degrees[:, None] >= degrees[None, :]
    last = np.tile(order[:, None] > degrees[None, :], (outputs, 1))
    return first, *[inner] * (layers - 1), last


def _degrees(hidden: int, order: Ints, k: int, n: int) -> Ints:
    """``(hidden,)``: a unit of degree m sees features up to place m and reaches those after it.

    A unit of degree −1 sees the context alone, so that the context reaches the first feature. A unit separates the
    features up to its degree from those after it; of two features that no unit separates neither sees the other. With
    fewer units than features each net separates them at even distances, and each of the n nets of a flow at places of
    its own: together they separate each feature from the next where n·(hidden − 1) ≥ d − 1. Otherwise some neighbours
    depend on each other through a third feature only.
    """
    d = len(order)
    if d <= hidden:
        return np.arange(hidden) % d - 1
    degrees = (np.arange(hidden - 1) * n + k) * (d - 1) // (max(hidden - 1, 1) * n)
    if order[0] > order[-1]:  # backwards: the same two columns are separated at the mirrored place
        degrees = d - 2 - degrees
    return np.concatenate([[-1], degrees])


def coupling_masks(keep: Bools, context: int, hidden: int, layers: int, outputs: int) -> tuple[Bools, ...]:
    """Of a network that gives ``outputs`` numbers for each feature that is not kept, from those that are and the
    context.

    Args:
        keep: ``(d,)`` features that the outputs may depend on.
        context: conditioning columns, after the features in the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        outputs: numbers for each changed feature; number p of the i-th of m is output ``p·m + i``.
    """
    first = np.tile(np.concatenate([keep, np.ones(context, dtype=bool)]), (hidden, 1))
    inner = np.ones((hidden, hidden), dtype=bool)
    last = np.ones((outputs * int((~keep).sum()), hidden), dtype=bool)
    return first, *[inner] * (layers - 1), last
