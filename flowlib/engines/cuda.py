"""The flow on a CUDA device, in the fixed shape."""

from __future__ import annotations

import copy

import torch

from flowlib.engines.base import Engine
from flowlib.engines.modules import ModuleEngine
from flowlib.errors import EngineError
from flowlib.flows import Flow


def cuda(flow: Flow) -> Engine:
    """An engine on the first CUDA device, in full float32: TF32 holds three digits, too few for parity.

    Raises:
        EngineError: where PyTorch sees no device.
    """
    if not torch.cuda.is_available():
        raise EngineError("cuda: PyTorch sees no CUDA device here")
    torch.backends.cuda.matmul.allow_tf32 = False
    return ModuleEngine("cuda", copy.deepcopy(flow.bake()).eval().to("cuda"), flow.d, flow.context, "cuda")
