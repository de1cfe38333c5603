"""Training of a MAF by a kernel in C++ (``native/``), which skips what masks make zero.

It takes the weights as one vector: hidden units and features sorted by what they may see, as in
:mod:`flowlib.engines.program`; without masked weights, and without those of context columns that are 0 in every
row. It runs on the thread that calls it and adds in a fixed order: the same rows give the same bits whatever
else the machine does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from flowlib.flows import Flow
from flowlib.flows.nets import MaskedLinear
from flowlib.flows.stack import AutoregressiveBlock, Stack
from flowlib.flows.transforms import Affine
from flowlib.table import Singles
from flowlib.training.learners import WEIGHT_DECAY, Autograd, Dropped, Learner, counted, upper_mean
from flowlib.training.rows import taken

try:
    from flowlib.training import _gradients as _native
except ImportError:  # no compiler when flowlib was installed
    _native = None  # type: ignore[assignment]

PAD = 16
"""Outputs of a layer are padded to it, as in ``native/plan.h``."""


def learner(flow: Flow, average: Flow, contexts: Sequence[Tensor], coded: bool) -> Learner:
    """The kernel where it can train the flow, else PyTorch.

    Args:
        flow: to train.
        average: a copy, which becomes the average of its weights.
        contexts: of all rows that it will be given, ``(n, c)`` each.
        coded: whether columns of the context come from a table that is trained too.
    """
    if coded or not trains(flow):
        return Autograd(flow, average)
    return Kernel(flow, average, used(contexts))


def trains(flow: Flow) -> bool:
    """Whether the kernel is here and knows the flow: affine autoregressive blocks with hidden layers, float32."""
    return (
        _native is not None
        and isinstance(flow, Stack)
        and all(
            isinstance(block, AutoregressiveBlock)
            and isinstance(block.transform, Affine)
            and sum(isinstance(layer, MaskedLinear) for layer in block.net) > 1
            and all(parameter.dtype == torch.float32 for parameter in block.parameters())
            for block in flow.blocks
        )
    )


def used(contexts: Sequence[Tensor]) -> Tensor:
    """Columns of the contexts that are not 0 in every row."""
    return torch.nonzero(torch.stack([context.any(dim=0) for context in contexts]).any(dim=0)).flatten()


def normals(words: bytes) -> Singles:
    """A standard normal for each eight random bytes, ``(n,)``: by the extension, where it is built, to 1e-6."""
    if _native is None:
        return ndtri(((np.frombuffer(words, dtype="<u8") >> np.uint64(12)) + 0.5) * 2.0**-52).astype(np.float32)
    drawn = np.empty(len(words) // 8, np.float32)
    _native.normals(words, drawn)
    return drawn


@dataclass(frozen=True)
class _Place:
    """Where the weights of one parameter lie: ``vector[there] = parameter.flatten()[here]``."""

    block: int
    layer: int
    part: str
    here: Tensor
    there: Tensor


class Weights:
    """The order of a flow's weights in the vector, and the kernel for it.

    Attributes:
        size: of the vector.
        used: columns of the context that it knows.
        kernel: of the extension.
    """

    def __init__(self, flow: Any, columns: Tensor, path: str = "") -> None:
        self.used, self._places, self.size = columns, list[_Place](), 0
        blocks = [self._block(flow, b) for b in range(len(flow.blocks))]
        self.kernel = _native.Pass(flow.d, len(columns), self.size, blocks, path)

    def _block(self, flow: Any, b: int) -> tuple[Any, ...]:
        block, n, layers = flow.blocks[b], flow.d, []
        linears = [(i, layer) for i, layer in enumerate(block.net) if isinstance(layer, MaskedLinear)]
        columns = torch.cat([torch.arange(n), n + self.used])  # of [features | context]
        inputs = torch.argsort(-linears[0][1].mask[:, columns].sum(dim=0), stable=True)
        order, features = columns[inputs], torch.argsort(block.order)
        for i, layer in linears:
            last = layer is linears[-1][1]
            rows = features if last else torch.argsort(layer.mask[:, order].sum(dim=1), stable=True)
            layers.append(self._layer(layer, (b, i), rows, order, groups=2 if last else 1))
            order = rows
        return inputs.to(torch.int32).numpy(), features.to(torch.int32).numpy(), layers

    def _layer(
        self, layer: MaskedLinear, at: tuple[int, int], rows: Tensor, columns: Tensor, groups: int
    ) -> tuple[Any, ...]:
        """Give a layer its part of the vector: weights (inputs, outputs), then the bias."""
        n, each, weight = len(rows), -(-len(rows) // PAD) * PAD, self.size
        width = groups * each
        bias, self.size = weight + len(columns) * width, weight + (len(columns) + 1) * width
        mask = layer.mask[rows][:, columns] > 0
        stops = mask.sum(dim=1)
        assert torch.equal(mask, torch.arange(len(columns)) < stops[:, None]), "sorted, a mask is a staircase"
        m, k = torch.nonzero(mask, as_tuple=True)
        for g in range(groups):  # output g of feature i is row g·n + i
            here, there = (g * n + rows[m]) * layer.in_features + columns[k], weight + k * width + g * each + m
            self._places.append(_Place(*at, "weight", here, there))
            self._places.append(_Place(*at, "bias", g * n + rows, bias + g * each + torch.arange(n)))
        padded = torch.cat([stops, stops[-1:].expand(each - n)])
        return len(columns), groups, each, weight, bias, padded.to(torch.int32).numpy()

    @property
    def held(self) -> Tensor:
        """Places of the vector that hold a weight, ascending; the others are padding or masked, and stay 0."""
        return torch.cat([place.there for place in self._places]).sort().values

    def of(self, flow: Flow) -> Tensor:
        """The vector of a flow."""
        vector = torch.zeros(self.size)
        for place, parameter in self._each(flow):
            vector[place.there] = parameter.flatten()[place.here]
        return vector

    def store(self, vector: Tensor, flow: Flow) -> None:
        """Write the vector to a flow; weights that it does not hold stay as they are."""
        for place, parameter in self._each(flow):
            parameter.view(-1)[place.here] = vector[place.there]

    def _each(self, flow: Any) -> Iterator[tuple[_Place, Tensor]]:
        for place in self._places:
            parameter: nn.Parameter = getattr(flow.blocks[place.block].net[place.layer], place.part)
            yield place, parameter.detach()

    def run(
        self,
        vector: Tensor,
        features: Tensor,
        context: Tensor,
        gradients: Tensor | None = None,
        share: float = 1.0,
        clip: float = 0.0,
    ) -> Tensor:
        """``(n,)`` log-densities; into the gradients goes the sum of those of −log p, each row's ``share`` times.

        With a clip above 0 each row's gradient is first scaled to a norm of at most clip, or left out where it is not
        finite.
        """
        values, shares = np.empty(len(features), np.float32), np.full(len(features), share, np.float32)
        context = taken(context.T, self.used).T if len(self.used) < context.shape[1] else context
        rows = features.contiguous().numpy(), context.contiguous().numpy(), shares
        self.kernel.run(vector.numpy(), *rows, clip, values, None if gradients is None else gradients.numpy())
        return torch.from_numpy(values)


class Kernel(Learner):
    """By the kernel."""

    def __init__(self, flow: Flow, average: Flow, columns: Tensor, path: str = "") -> None:
        self._flows, self._weights = (flow, average), Weights(flow, columns, path)
        self.name = f"kernel {self._weights.kernel.path}"
        self._vector, self._average = self._weights.of(flow), self._weights.of(average)
        self.gradients, self._first, self._second = (torch.zeros(self._weights.size) for _ in range(3))

    def loss(self, features: Tensor, context: Tensor, dropped: Dropped | None) -> Tensor:
        """See :class:`Learner`."""
        loss = None
        if dropped is not None and len(features):
            values = self._weights.run(self._vector, features, context)
            number = dropped(values)
            loss, rows = -upper_mean(values, number), counted(values, number).sort().values
            features, context = taken(features, rows), taken(context, rows)
        values = self._weights.run(self._vector, features, context, self.gradients, share=1.0 / max(len(features), 1))
        return -values.mean() if loss is None else loss

    def values(self, features: Tensor, context: Tensor) -> Tensor:
        """See :class:`Learner`."""
        return self._weights.run(self._average, features, context)

    def step(self, number: int, rate: float, clip: float, forget: float) -> None:
        """See :class:`Learner`."""
        vectors = self._vector, self.gradients, self._first, self._second, self._average
        weights, gradients, first, second, mean = (part.numpy() for part in vectors)
        self._weights.kernel.step(weights, gradients, first, second, mean, number, rate, WEIGHT_DECAY, clip, forget)

    def store(self) -> None:
        """See :class:`Learner`."""
        for vector, flow in zip((self._vector, self._average), self._flows, strict=True):
            self._weights.store(vector, flow)

    def moments(self) -> dict[str, Tensor]:
        """See :class:`Learner`."""
        return {"first": self._first.clone(), "second": self._second.clone()}

    def resume(self, moments: dict[str, Tensor]) -> None:
        """See :class:`Learner`."""
        self._vector, self._average = (self._weights.of(flow) for flow in self._flows)
        self._first, self._second = moments["first"].clone(), moments["second"].clone()
