"""What every flow family offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Flow(nn.Module, ABC):
    """A density over ``d`` features given ``context`` columns, as a map to independent standard normals.

    Column j of z belongs to feature j: orders come from masks, never from permuted columns, so that each feature has a
    PIT and a part of the log-likelihood of its own.

    Attributes:
        d: features.
        context: conditioning columns.
        bijective: ladj is the Jacobian of x → z. Where it is False the parts still add up to the log-density.
        solve: fits to ``(features, context, seed)`` by a solver of the family's own; None where gradients fit it.
    """

    d: int
    context: int
    bijective: bool = True
    solve: Callable[[Tensor, Tensor, int], None] | None = None

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(n, d)`` and context ``(n, c)`` to ``z (n, d)`` and ``ladj (n, d)``.

        Σ_j (ladj_j − ½z_j² − ½log 2π) is the log-density, and Σ_j ladj_j = log |det dz/dx| of a bijective flow.
        """

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """From the base back to features, ``(n, d)``."""

    @abstractmethod
    def bake(self) -> nn.Module:
        """The same function as a module that can be scripted, with all constants folded in."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, int]:
        """Arguments that rebuild the class: ``type(flow)(generator=…, **hyperparameters)``."""

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """``(n,)`` log-density of x given context, nats."""
        z, ladj = self(x, context)
        total: Tensor = (ladj - 0.5 * z * z - HALF_LOG_TWO_PI).sum(dim=1)
        return total

    def objective(self, x: Tensor, context: Tensor) -> Tensor:
        """``(n,)`` what training maximises the mean of: the log-density, unless a family has another."""
        return self.log_prob(x, context)

    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of the features for each row of the context, ``(n, d)``."""
        with torch.no_grad():
            return self.inverse(torch.randn(len(context), self.d, generator=generator), context)
