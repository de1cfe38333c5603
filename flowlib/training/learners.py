"""What a step of training computes: gradients of a batch, a step of AdamW, the average of the weights.

:class:`Autograd` leaves it to PyTorch, for any flow; :class:`~flowlib.training.kernel.Kernel` is several times as fast
for a MAF.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from flowlib.flows import Flow

WEIGHT_DECAY = 1e-4
"""Of AdamW."""

Dropped = Callable[[Tensor], int]
"""Number of the least likely rows of a batch that do not count, from its log-likelihoods."""


def counted(values: Tensor, dropped: int) -> Tensor:
    """Places of the log-likelihoods ``(n,)`` that are left without the ``dropped`` lowest; one at least."""
    finite = torch.nan_to_num(values, nan=-torch.inf)
    return torch.topk(finite, max(len(values) - dropped, 1), sorted=False).indices


def upper_mean(values: Tensor, dropped: int) -> Tensor:
    """Mean of log-likelihoods ``(n,)`` without the ``dropped`` lowest."""
    return torch.nan_to_num(values, nan=-torch.inf)[counted(values, dropped)].mean() if dropped else values.mean()


class Learner(ABC):
    """A flow in training.

    Attributes:
        name: goes into the digest of a run: another way of computing is another run.
    """

    name: str

    @abstractmethod
    def loss(self, features: Tensor, context: Tensor, dropped: Dropped | None) -> Tensor:
        """Minus the mean log-likelihood of a batch ``(n, d)``, ``(n, c)``, and keep its gradients for the step."""

    @abstractmethod
    def values(self, features: Tensor, context: Tensor) -> Tensor:
        """``(n,)`` log-densities of rows by the average of the weights."""

    @abstractmethod
    def step(self, number: int, rate: float, clip: float, forget: float) -> None:
        """Move the weights by the gradients of the last loss, which are finite, or not at all.

        Args:
            number: of this step, from 1.
            rate: of learning.
            clip: bound on the norm of the gradients.
            forget: share of the average of the weights that the new ones take.
        """

    @abstractmethod
    def store(self) -> None:
        """Write weights and average to the flows."""

    @abstractmethod
    def moments(self) -> dict[str, Tensor]:
        """A copy of the state of AdamW."""

    @abstractmethod
    def resume(self, moments: dict[str, Tensor]) -> None:
        """Take the state of AdamW, and weights and average from the flows."""


class Autograd(Learner):
    """By PyTorch."""

    name = "autograd"

    def __init__(self, flow: Flow, average: Flow) -> None:
        self._flow, self._mean = flow, average
        self._weights: list[Tensor] = list(flow.parameters())
        self._average: list[Tensor] = list(average.parameters())
        self._optimiser = torch.optim.AdamW(self._weights, weight_decay=WEIGHT_DECAY, fused=True)

    def loss(self, features: Tensor, context: Tensor, dropped: Dropped | None) -> Tensor:
        """See :class:`Learner`."""
        values = self._flow.objective(features, context)
        loss = -upper_mean(values, dropped(values) if dropped else 0)
        if torch.isfinite(loss):
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def values(self, features: Tensor, context: Tensor) -> Tensor:
        """See :class:`Learner`."""
        with torch.no_grad():
            return self._mean.log_prob(features, context)

    def step(self, number: int, rate: float, clip: float, forget: float) -> None:
        """See :class:`Learner`."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._optimiser.step()
        torch._foreach_lerp_(self._average, [weight.detach() for weight in self._weights], forget)

    def store(self) -> None:
        """See :class:`Learner`: they are the flows' own."""

    def moments(self) -> dict[str, Tensor]:
        """See :class:`Learner`, by the parameter's index and name."""
        state = self._optimiser.state_dict()["state"]
        return {f"{i}.{name}": torch.clone(value) for i, moments in state.items() for name, value in moments.items()}

    def resume(self, moments: dict[str, Tensor]) -> None:
        """See :class:`Learner`."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = torch.clone(value)
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": state})
