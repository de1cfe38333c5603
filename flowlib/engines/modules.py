"""Engines that run a module of PyTorch, in the fixed shape."""

from __future__ import annotations

from typing import Any

import torch

from flowlib.engines.base import Padded
from flowlib.table import Singles


class ModuleEngine(Padded):
    """A callable on tensors, run in the fixed shape."""

    def __init__(self, name: str, module: Any, d: int, context: int, device: str = "cpu") -> None:
        super().__init__(d, context)
        self.name, self._module, self._device = name, module, device

    def _run(self, x: Singles, context: Singles) -> tuple[Singles, Singles]:
        with torch.inference_mode():
            z, ladj = self._module(torch.from_numpy(x).to(self._device), torch.from_numpy(context).to(self._device))
            return z.cpu().numpy(), ladj.cpu().numpy()
