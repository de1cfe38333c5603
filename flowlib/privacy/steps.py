"""A step of private training: the clipped sum of the rows' gradients, noise, Adam; by PyTorch or the kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from flowlib.flows import Flow
from flowlib.flows.nets import MaskedLinear
from flowlib.privacy.clipping import clipped_sum
from flowlib.training.kernel import Weights, trains

Normals = Callable[[int], Tensor]
"""So many independent standard normals, ``(n,)``."""


def steps_of(flow: Flow) -> Steps:
    """The kernel of :mod:`flowlib.training.kernel` where it knows the flow, else PyTorch."""
    return KernelSteps(flow) if trains(flow) else AutogradSteps(flow)


class Steps(ABC):
    """A flow in private training."""

    @abstractmethod
    def noised(self, features: Tensor, context: Tensor, clip: float, noise: float, normals: Normals) -> Tensor:
        """The sum of the rows' gradients, each of a norm of at most clip, with noise of ``noise * clip`` on each weight
        that rows can move; kept for the step. All weights, one after the other, ``(w,)``.
        """

    @abstractmethod
    def step(self, number: int, rate: float, expected: float) -> None:
        """A step of Adam, the number-th, by the sum over the expected number of rows."""

    @abstractmethod
    def store(self) -> None:
        """Write the weights to the flow."""


class AutogradSteps(Steps):
    """By PyTorch."""

    def __init__(self, flow: Flow) -> None:
        self._flow, self._optimiser = flow, torch.optim.Adam(flow.parameters())
        self._masks = {id(layer.weight): layer.mask for layer in flow.modules() if isinstance(layer, MaskedLinear)}

    def noised(self, features: Tensor, context: Tensor, clip: float, noise: float, normals: Normals) -> Tensor:
        """See :class:`Steps`."""
        parts = []
        for parameter, total in clipped_sum(self._flow, features, context, clip):
            free = self._masks.get(id(parameter), torch.ones_like(total)).bool()  # masked weights depend on no row
            total[free] += normals(int(free.sum())) * (noise * clip)
            parameter.grad = total
            parts.append(total[free])
        return torch.cat(parts)

    def step(self, number: int, rate: float, expected: float) -> None:
        """See :class:`Steps`."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
            for parameter in group["params"]:
                parameter.grad /= expected
        self._optimiser.step()

    def store(self) -> None:
        """See :class:`Steps`: they are the flow's own."""


class KernelSteps(Steps):
    """By the kernel; all columns of the context are in it, since which of them rows have is private."""

    def __init__(self, flow: Flow) -> None:
        self._flow, self._weights = flow, Weights(flow, torch.arange(flow.context))
        self._vector, self._held = self._weights.of(flow), self._weights.held.numpy()
        self._gradients, self._first, self._second, self._mean = (torch.zeros(self._weights.size) for _ in range(4))

    def noised(self, features: Tensor, context: Tensor, clip: float, noise: float, normals: Normals) -> Tensor:
        """See :class:`Steps`."""
        self._weights.run(self._vector, features, context, self._gradients, clip=clip)
        gradients, drawn = self._gradients.numpy(), normals(len(self._held)).numpy()
        drawn *= noise * clip
        drawn += gradients[self._held]
        gradients[self._held] = drawn
        return torch.from_numpy(drawn)

    def step(self, number: int, rate: float, expected: float) -> None:
        """See :class:`Steps`."""
        gradients = self._gradients.numpy()
        gradients /= expected
        vectors = (part.numpy() for part in (self._vector, self._first, self._second, self._mean))
        weights, first, second, mean = vectors
        self._weights.kernel.step(weights, gradients, first, second, mean, number, rate, 0.0, float("inf"), 0.0)

    def store(self) -> None:
        """See :class:`Steps`."""
        self._weights.store(self._vector, self._flow)
