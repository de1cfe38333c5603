"""The fused kernel as a PyTorch operator, ``torch.ops.driftflow.fused``, so that a scripted module can hold it.

Python calls the kernel itself (:class:`flowlib.engines.fused.Fused`): the dispatcher would cost more than a row does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowlib.engines.fused import Fused

_PLANS: list[Fused] = []  # an operator's arguments are tensors and numbers: a plan is told by its place in here


def _run(features: Tensor, context: Tensor, plan: int) -> tuple[Tensor, Tensor]:
    z, ladj = _PLANS[plan](features.numpy(), context.numpy())
    return torch.from_numpy(z), torch.from_numpy(ladj)


def _shapes(features: Tensor, context: Tensor, plan: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(features), torch.empty_like(features)


torch.library.define("driftflow::fused", "(Tensor features, Tensor context, int plan) -> (Tensor, Tensor)")
torch.library.impl("driftflow::fused", "CPU", _run)
torch.library.register_fake("driftflow::fused", _shapes)


class FusedModule(nn.Module):
    """``(features, context) → (z, ladj)`` by the kernel, as a module that can be scripted and exported.

    The plan is kept for as long as the process lives: a scripted copy may outlast this object.
    """

    def __init__(self, engine: Fused) -> None:
        super().__init__()
        _PLANS.append(engine)
        self.plan = len(_PLANS) - 1

    def forward(self, features: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, c)`` on the CPU → ``z (n, d)`` and ``ladj (n, d)``."""
        z, ladj = torch.ops.driftflow.fused(features, context, self.plan)
        return z, ladj
