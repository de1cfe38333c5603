"""Masked autoregressive flow.

Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", arXiv 1705.07057, eq. 3-5:
``z_i = (x_i − μ_i(x_<i)) · exp(−a_i(x_<i))`` and ``log |dz/dx| = −Σ a_i``, stacked with alternating order.
"""

from __future__ import annotations

import torch

from flowlib import layouts
from flowlib.flows.stack import Stack, chain_of


class Maf(Stack):
    """Affine autoregressive blocks in alternating order.

    Defaults: five blocks, two hidden layers of :func:`flowlib.layouts.hidden_units`; see ``flowlib/FINDINGS.md``.
    """

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        blocks: int = 5,
        hidden: int | None = None,
        layers: int = 2,
    ) -> None:
        hidden = layouts.hidden_units(d, hidden)
        chain = chain_of(layouts.maf(d, context, blocks, hidden, layers), generator)
        super().__init__(d, context, chain, hidden, layers)
