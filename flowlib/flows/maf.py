"""Masked autoregressive flow.

Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", arXiv 1705.07057, eq. 3-5:
``z_i = (x_i − μ_i(x_<i)) · exp(−a_i(x_<i))`` and ``log |dz/dx| = −Σ a_i``, stacked with alternating order.
"""

from __future__ import annotations

import torch

from flowlib.flows.nets import autoregressive_net
from flowlib.flows.stack import AutoregressiveBlock, Stack, alternating, hidden_units
from flowlib.flows.transforms import Affine


class Maf(Stack):
    """Affine autoregressive blocks in alternating order.

    Defaults: five blocks, two hidden layers of :func:`flowlib.flows.stack.hidden_units`; see ``flowlib/FINDINGS.md``.
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
        hidden = hidden_units(d, hidden)
        chain = []
        for k, order in enumerate(alternating(d, blocks)):
            net = autoregressive_net(order, context, hidden, layers, generator, turn=(k, blocks))
            chain.append(AutoregressiveBlock(net, Affine(), order))
        super().__init__(d, context, chain, hidden, layers)
