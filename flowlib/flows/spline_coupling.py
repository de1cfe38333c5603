"""Rational-quadratic spline coupling flow, "RQ-NSF (C)".

Durkan, Bekasov, Murray & Papamakarios, "Neural Spline Flows", arXiv 1906.04032, section 3 and eq. 2 for coupling;
instead of their permutations, fixed splits that set each two features apart.
"""

from __future__ import annotations

import torch

from flowlib import layouts
from flowlib.flows.stack import Stack, chain_of


class SplineCoupling(Stack):
    """Two affine coupling blocks, one for each side, then spline blocks of ``bins`` bins (8, as in the paper).

    For the splits see :func:`flowlib.layouts.splits`, for the affine blocks
    :class:`flowlib.flows.spline_autoregressive.SplineAutoregressive`.
    """

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        blocks: int | None = None,
        hidden: int | None = None,
        layers: int = 2,
        bins: int = 8,
    ) -> None:
        hidden = layouts.hidden_units(d, hidden)
        chain = chain_of(layouts.spline_coupling(d, context, blocks, hidden, layers, bins), generator)
        super().__init__(d, context, chain, hidden, layers)
        self.bins = bins

    def hyperparameters(self) -> dict[str, int]:
        """See :meth:`Flow.hyperparameters`."""
        return super().hyperparameters() | {"bins": self.bins}
