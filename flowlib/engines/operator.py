"""The fused kernel as a PyTorch operator, ``torch.ops.driftflow.fused``: for people who put a flow into TorchScript of
their own.

driftflow itself calls the kernel from Python (:class:`flowlib.engines.fused.Fused`): the dispatcher would cost more than a
row does.
"""

from __future__ import annotations

import uuid
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowlib.engines.base import EngineError
from flowlib.engines.fused import Fused

_PLANS: dict[int, Fused] = {}
"""An operator takes tensors and numbers: a plan is told by its number in here, and kept as long as a tensor holds that."""


def _handle(engine: Fused) -> Tensor:
    """A tensor ``(1,)`` that names a plan. With the last module that shares its memory the plan is freed."""
    number = uuid.uuid4().int >> 66  # not counted: a saved module must not meet another plan in the next process
    memory = np.array([number], np.int64)
    _PLANS[number] = engine
    weakref.finalize(memory, _PLANS.pop, number)
    return torch.from_numpy(memory)


def _engine(plan: Tensor) -> Fused:
    engine = _PLANS.get(int(plan))
    if engine is None:
        raise EngineError(
            "fused: this plan is not of this process: it cannot be saved; make a FusedModule of the flow again"
        )
    return engine


def _run(features: Tensor, context: Tensor, plan: Tensor) -> tuple[Tensor, Tensor]:
    z, ladj = _engine(plan)(features.numpy(), context.numpy())
    return torch.from_numpy(z), torch.from_numpy(ladj)


def _shapes(features: Tensor, context: Tensor, plan: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(features), torch.empty_like(features)


torch.library.define("driftflow::fused", "(Tensor features, Tensor context, Tensor plan) -> (Tensor, Tensor)")
torch.library.impl("driftflow::fused", "CPU", _run)
torch.library.register_fake("driftflow::fused", _shapes)


class FusedModule(nn.Module):
    """``(features, context) → (z, ladj)`` by the kernel, as a module to be part of a larger one, scripted or exported.

    The plan lives as long as this module or a scripted, frozen or exported copy of it; PyTorch keeps what it froze for the
    life of the process. A file of such a module holds no plan and cannot be run.
    """

    def __init__(self, engine: Fused) -> None:
        super().__init__()
        self.plan = nn.Buffer(_handle(engine), persistent=False)

    def forward(self, features: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, c)`` on the CPU → ``z (n, d)`` and ``ladj (n, d)``."""
        z, ladj = torch.ops.driftflow.fused(features, context, self.plan)
        return z, ladj

    def __deepcopy__(self, memo: dict[int, Any]) -> FusedModule:
        """A module of the same plan: nothing changes a plan, and a copy of the tensor's memory would not keep it."""
        return FusedModule(_engine(self.plan))
