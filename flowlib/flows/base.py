"""What every flow family offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from flowlib.layouts import Layout
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Singles


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

    @property
    def layouts(self) -> list[Layout] | None:
        """Of a flow that is made of blocks, what it is without its weights."""
        return None

    @property
    def each(self) -> list[Flow]:
        """The members of an ensemble."""
        return []

    @property
    def arrays(self) -> dict[str, Any]:
        """Its weights by name, not copied."""
        return {name: tensor.numpy() for name, tensor in self.state_dict().items()}

    def evaluate(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        """z and ladj ``(n, d)`` by eager PyTorch."""
        with torch.inference_mode():
            z, ladj = self(torch.from_numpy(features), torch.from_numpy(context))
            return z.numpy(), ladj.numpy()

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
