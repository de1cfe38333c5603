"""The fused C++ kernel: a whole flow in one pass over the rows, without padding, so that few rows cost little."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib.engines.base import Engine, Source
from flowlib.engines.members import Members
from flowlib.engines.program import program
from flowlib.errors import EngineError
from flowlib.table import Singles

try:
    from flowlib.engines import _fused as _native
except ImportError:  # no compiler when flowlib was installed
    _native = None  # type: ignore[assignment]


def paths() -> list[str]:
    """Instruction sets of this processor that the kernel uses, fastest first; empty where it was not built."""
    return _native.paths() if _native is not None else []


class Fused(Engine):
    """A flow packed for the kernel.

    Every output adds its products in the same order for any number of rows, so no fixed shape is needed. AVX-512, AVX2
    and aarch64 give the same bits; a processor without fused multiply-add gives others.

    Raises:
        EngineError: where the kernel was not built, or the flow's family has no program.
    """

    name = "fused"

    def __init__(self, flow: Source, path: str = "") -> None:
        super().__init__(flow.d, flow.context)
        if _native is None:
            raise EngineError("fused: the kernel was not built; install a C++17 compiler and install driftflow again")
        blocks = program(flow)
        if blocks is None:
            raise EngineError("fused: a flow of this family has no program for the kernel")
        self.plan: Any = _native.Plan(flow.d, flow.context, [block.packed() for block in blocks], path)
        self.path: str = self.plan.path

    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        z, ladj = np.empty(features.shape, np.float32), np.empty(features.shape, np.float32)
        self.plan.run(features, context, z, ladj)
        return z, ladj


def fused(flow: Source, path: str = "") -> Engine:
    """The kernel for a flow, or for each member of an ensemble; raises EngineError (see :class:`Fused`)."""
    return Members(flow, lambda member: Fused(member, path)) if flow.each else Fused(flow, path)
