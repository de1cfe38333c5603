"""A small flow and rows to train it on."""

from __future__ import annotations

import torch
from torch import Tensor

from flowlib.flows import FLOWS, Flow


def maf(n: int = 30, d: int = 3) -> tuple[Flow, Tensor, Tensor]:
    """A fresh MAF, features ``(n, d)`` and context ``(n, d)``."""
    generator = torch.Generator().manual_seed(1)
    flow = FLOWS["maf"](d, d, generator, hidden=16)
    return flow, 2 * torch.randn(n, d, generator=generator), torch.rand(n, d, generator=generator).round()
