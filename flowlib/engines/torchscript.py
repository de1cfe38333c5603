"""TorchScript: the fastest engine without the kernel. ``torch.jit`` is deprecated upstream, and used here only."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import nn

from flowlib.engines.base import Engine
from flowlib.engines.modules import ModuleEngine
from flowlib.flows import Flow


def script(module: nn.Module) -> Any:
    """A module scripted and frozen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.freeze(torch.jit.script(module.eval()))


def torchscript(flow: Flow) -> Engine:
    """The flow as a frozen TorchScript module, run in the fixed shape."""
    return ModuleEngine("torchscript", script(flow.bake()), flow.d, flow.context)


def archive(scripted: Any) -> bytes:
    """A scripted module as the bytes of a TorchScript archive: for export only, loading one can write files."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(scripted, buffer)
    return buffer.getvalue()
