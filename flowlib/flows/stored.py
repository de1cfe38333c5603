"""A flow out of what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from flowlib.flows import FLOWS, Flow
from flowlib.surroundings import undisturbed


@undisturbed()
def flow_of(family: str, sizes: Mapping[str, int], arrays: Mapping[str, Any]) -> Flow:
    """The module in evaluation mode, with weights of its own.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: there is no such family, or the arrays are not its.
    """
    flow = FLOWS[family](generator=torch.Generator().manual_seed(0), **sizes)
    flow.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
    return flow.eval()
