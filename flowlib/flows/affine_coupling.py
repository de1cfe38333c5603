"""Affine coupling flow.

Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", arXiv 1605.08803, eq. 4-6, with the log-scale
bounded as in :class:`flowlib.flows.transforms.Affine`. Drawing a row costs as much as scoring it.
"""

from __future__ import annotations

import torch

from flowlib.flows.nets import coupling_net
from flowlib.flows.stack import CouplingBlock, Stack, hidden_units, splits
from flowlib.flows.transforms import Affine


class AffineCoupling(Stack):
    """Affine coupling blocks; see :func:`flowlib.flows.stack.splits` for their number and which features stay."""

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        blocks: int | None = None,
        hidden: int | None = None,
        layers: int = 2,
    ) -> None:
        hidden = hidden_units(d, hidden)
        chain = []
        for keep in splits(d, blocks):
            net = coupling_net(keep, context, hidden, layers, generator, outputs=2)
            chain.append(CouplingBlock(net, Affine(), keep))
        super().__init__(d, context, chain, hidden, layers)
