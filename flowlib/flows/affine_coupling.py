"""Affine coupling flow.

Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", arXiv 1605.08803, eq. 4-6, with the log-scale
bounded as in :class:`flowlib.flows.transforms.Affine`. Drawing a row costs as much as scoring it.
"""

from __future__ import annotations

import torch

from flowlib import layouts
from flowlib.flows.stack import Stack, chain_of


class AffineCoupling(Stack):
    """Affine coupling blocks; see :func:`flowlib.layouts.splits` for their number and which features stay."""

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        blocks: int | None = None,
        hidden: int | None = None,
        layers: int = 2,
    ) -> None:
        hidden = layouts.hidden_units(d, hidden)
        chain = chain_of(layouts.affine_coupling(d, context, blocks, hidden, layers), generator)
        super().__init__(d, context, chain, hidden, layers)
