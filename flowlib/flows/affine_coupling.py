"""Affine coupling flow.

Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", arXiv 1605.08803, eq. 4-6, with the log-scale bounded
as in :class:`flowlib.flows.transforms.Affine`. As quick to draw from as to score.
"""

from __future__ import annotations

import torch

from flowlib.flows.nets import coupling_net
from flowlib.flows.stack import CouplingBlock, Stack, splits, width
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
        hidden = width(d, hidden)
        made = [
            CouplingBlock(coupling_net(keep, context, hidden, layers, generator, 2), Affine(), keep)
            for keep in splits(d, blocks)
        ]
        super().__init__(d, context, made, hidden, layers)
