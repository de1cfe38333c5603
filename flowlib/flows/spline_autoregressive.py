"""Rational-quadratic spline autoregressive flow, "RQ-NSF (AR)".

Durkan, Bekasov, Murray & Papamakarios, "Neural Spline Flows", arXiv 1906.04032: eq. 4-8 for the spline, section 3.3 for
the autoregressive form; orders alternate as in :mod:`flowlib.flows.maf`.
"""

from __future__ import annotations

import torch

from flowlib import layouts
from flowlib.flows.stack import Stack, chain_of


class SplineAutoregressive(Stack):
    """An affine autoregressive block, then spline blocks of ``bins`` bins (8, as in the paper); the rest as for MAF.

    The affine block is not in the paper: a spline is the identity beyond ±5, so values that lie farther out in some
    contexts have to be moved within ±5 first.
    """

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        blocks: int = 5,
        hidden: int | None = None,
        layers: int = 2,
        bins: int = 8,
    ) -> None:
        hidden = layouts.hidden_units(d, hidden)
        chain = chain_of(layouts.spline_autoregressive(d, context, blocks, hidden, layers, bins), generator)
        super().__init__(d, context, chain, hidden, layers)
        self.bins = bins

    def hyperparameters(self) -> dict[str, int]:
        """See :meth:`Flow.hyperparameters`."""
        return super().hyperparameters() | {"bins": self.bins}
