"""Rational-quadratic spline coupling flow, "RQ-NSF (C)".

Durkan, Bekasov, Murray & Papamakarios, "Neural Spline Flows", arXiv 1906.04032, section 3 and eq. 2 for coupling; instead
of their permutations, fixed splits that set each two features apart.
"""

from __future__ import annotations

import torch

from flowlib.flows.stack import CouplingBlock, Stack, splits, width
from flowlib.nets import coupling_net
from flowlib.transforms import RationalQuadratic


class SplineCoupling(Stack):
    """Spline coupling blocks of ``bins`` bins (8, as in the paper); for the splits see
    :func:`flowlib.flows.stack.splits`."""

    def __init__(
        self, d: int, context: int, generator: torch.Generator,
        blocks: int | None = None, hidden: int | None = None, layers: int = 2, bins: int = 8,
    ) -> None:  # fmt: skip
        hidden, spline = width(d, hidden), RationalQuadratic(bins)
        made = [
            CouplingBlock(coupling_net(keep, context, hidden, layers, generator, spline.parameters_each), spline, keep)
            for keep in splits(d, blocks)
        ]
        super().__init__(d, context, made, hidden, layers)
        self.bins = bins

    def hyperparameters(self) -> dict[str, int]:
        """What rebuilds the class."""
        return super().hyperparameters() | {"bins": self.bins}
