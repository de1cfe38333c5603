"""The table of slices that a flow is conditioned on, while it is trained with the flow; see
:mod:`flowlib.encoder.context`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from flowlib.flows.base import Flow
from flowlib.table import Floats, Singles

HIDDEN_SHARE = 0.05
"""Share of rows whose slice is hidden at a training step."""


def attach(flow: Flow, table: Floats | Singles, generator: torch.Generator) -> None:
    """Give a flow the slice table ``(slices + 1, e)`` to train; a table of zeros is drawn afresh."""
    rows = torch.from_numpy(np.array(table, dtype=np.float32))
    if not rows.any():
        rows = 0.1 * torch.randn(rows.shape, generator=generator)
    flow.slice_table = nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows)


def detach(flow: Flow) -> Singles:
    """Take the trained table ``(slices + 1, e)`` off the flow."""
    table = cast(nn.Embedding, flow.slice_table).weight.detach().numpy().copy()
    del flow.slice_table
    return cast(Singles, table)


def conditioned(flow: Flow, context: Tensor, codes: Tensor | None) -> Tensor:
    """Context whose last columns come from the flow's slice table; unchanged where the flow has none."""
    table = getattr(flow, "slice_table", None)
    if table is None or codes is None:
        return context
    rows: Tensor = table(codes)
    return torch.cat((context[:, : -rows.shape[1]], rows), dim=1)


def hidden(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Codes, a share :data:`HIDDEN_SHARE` of them set to 0."""
    return torch.where(torch.rand(len(codes), generator=generator) < HIDDEN_SHARE, 0, codes)
