"""The extension built from ``native/``."""

from collections.abc import Sequence
from typing import Any

from flowlib.table import Singles

def paths() -> list[str]:
    """Instruction sets that this processor has, fastest first: ``avx512``, ``avx2``, ``portable``."""

def normals(words: bytes, out: Singles, /) -> None:
    """Write a standard normal for each eight random bytes."""

class Pass:
    """Likelihoods and gradients of an affine autoregressive flow of ``size`` parameters.

    ``blocks`` are those of :class:`flowlib.training.kernel.Kernel`.
    """

    def __new__(cls, d: int, context: int, size: int, blocks: Sequence[tuple[Any, ...]], path: str = "") -> Pass: ...
    @property
    def path(self) -> str:
        """The instruction set in use."""

    def run(
        self,
        parameters: Singles,
        features: Singles,
        context: Singles,
        share: Singles,
        clip: float,
        values: Singles,
        gradients: Singles | None,
        /,
    ) -> None:
        """Write log-densities ``(n,)``, and the sum of the rows' gradients of −log p, each ``share`` times.

        With a clip above 0 each is scaled to a norm of at most clip, and one that is not finite left out.
        """

    def step(
        self,
        weights: Singles,
        gradients: Singles,
        first: Singles,
        second: Singles,
        average: Singles,
        number: int,
        rate: float,
        decay: float,
        clip: float,
        forget: float,
        /,
    ) -> bool:
        """One step of AdamW in place, the gradients' norm at most clip; the average takes a share of the new weights.

        False, and nothing is changed, where the gradients are not finite.
        """
