"""The extension built from ``native/``."""

from collections.abc import Sequence
from typing import Any

from flowlib.table import Singles

def paths() -> list[str]:
    """Instruction sets that this processor has, fastest first: ``avx512``, ``avx2``, ``portable``."""

class Plan:
    """A flow, packed for the kernel. ``blocks`` are those of :meth:`flowlib.engines.program.KernelBlock.packed`."""

    def __new__(cls, d: int, context: int, blocks: Sequence[tuple[Any, ...]], path: str = "") -> Plan: ...
    @property
    def path(self) -> str:
        """The instruction set in use."""

    def run(self, features: Singles, context: Singles, z: Singles, ladj: Singles, /) -> None:
        """Write ``z`` and ``ladj`` ``(n, d)``; arrays are float32 in C order; raises ValueError where they are not."""
