"""What every flow family offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Flow(nn.Module, ABC):
    """A density over ``d`` features given ``context`` columns, as a map to independent standard normals.

    Column j of z belongs to feature j: orders are made by masks, never by permuting columns, so that a PIT and a part
    of the log-likelihood can be told for each feature.

    Attributes:
        d: features.
        context: conditioning columns.
        bijective: ladj is the Jacobian of x → z. Where it is False the parts still add up to the log-density.
    """

    d: int
    context: int
    bijective: bool = True

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
        """The same function in a form that can be scripted, with everything constant folded in."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, int]:
        """What rebuilds the class: ``type(flow)(generator=…, **hyperparameters)``."""

    def members(self) -> list[Flow]:
        """Flows that are trained one by one, each as if it were alone; none for a flow that is trained as a whole."""
        return []

    def solve(self, features: Tensor, context: Tensor, seed: int) -> bool:
        """Fit in closed form (or by a solver of its own) instead of by gradients; False where the family has none."""
        return False

    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of the features for each row of the context, ``(n, d)``."""
        with torch.no_grad():
            return self.inverse(torch.randn(len(context), self.d, generator=generator), context)
