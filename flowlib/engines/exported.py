"""``torch.export``, PyTorch's successor of TorchScript; the graph runs without ``torch.compile``."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from flowlib.engines.base import ROWS, Engine
from flowlib.engines.modules import ModuleEngine
from flowlib.flows import Flow


def export(flow: Flow) -> Any:
    """The flow as an ExportedProgram of the fixed shape."""
    example = (torch.zeros(ROWS, flow.d), torch.zeros(ROWS, flow.context))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's own tree specifications
        return torch.export.export(flow.bake().eval(), example, strict=False)


def exported(flow: Flow) -> Engine:
    """An engine that runs the exported graph as a module."""
    return ModuleEngine("exported", export(flow).module(), flow.d, flow.context)
