"""Context: what a flow is conditioned on beside gaps and categories, the hour, the weekday, the season and the slice.

Hour, weekday and season (the day of the year) are sines and cosines of two harmonics, on the clock of the stream's own
zone: what people do keeps its hour when clocks change. A slice is a row of a table that is learnt with the flow; code
0 is for slices never seen or rare, trained by hiding the slice of a few rows at each step.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from flowlib.encoder.zones import local
from flowlib.flows.base import Flow
from flowlib.table import DAY_MS, Bools, Floats, Ints, Objects, Singles

KINDS = ("hour", "weekday", "season", "slice")
SLICES_MAX, SLICE_ROWS_MIN = 4_096, 30
"""The most frequent slices with at least so many training rows have codes of their own."""

HIDDEN_SHARE = 0.05
"""Share of rows whose slice is hidden at a training step."""

_MINUTE_MS = 60_000
_HARMONICS = 2


def _circle(n: int) -> Singles:
    """``(n, 4)`` sines and cosines of two harmonics at n angles."""
    turn = 2.0 * np.pi * np.arange(n) / n
    waves = [wave(k * turn) for k in range(1, _HARMONICS + 1) for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1).astype(np.float32)


_OF_DAY, _OF_WEEK, _OF_YEAR = _circle(1_440), _circle(7), _circle(366)
_YEAR_DAYS = 365.2425
CLOCK_WIDTH = dict.fromkeys(("hour", "weekday", "season"), 2 * _HARMONICS)
"""Columns of each clock context."""


def clock_columns(kinds: tuple[str, ...], time_ms: Ints, zone: str = "UTC") -> list[Singles]:
    """A block ``(n, 4)`` for each of ``hour``, ``weekday`` and ``season`` asked for, on the clock of the zone."""
    if not set(kinds) & set(CLOCK_WIDTH):
        return []
    blocks, there = [], local(zone, time_ms)
    if "hour" in kinds:
        blocks.append(_OF_DAY[there % DAY_MS // _MINUTE_MS])
    if "weekday" in kinds:
        blocks.append(_OF_WEEK[(there // DAY_MS + 3) % 7])  # the epoch was a Thursday; 0 is Monday
    if "season" in kinds:
        blocks.append(_OF_YEAR[(there // DAY_MS % _YEAR_DAYS).astype(np.int64)])
    return blocks


def join_context(missing: Bools, codes: Ints, sizes: list[int], blocks: list[Singles]) -> Singles:
    """Context ``(n, c)``: missing indicators ``(n, d)``, codes ``(n, k)`` as one-hot columns of these sizes, blocks."""
    # Written in place: wide one-hot columns that were made apart and then joined would be in memory twice.
    start, rows = missing.shape[1], np.arange(len(missing))
    width = start + sum(sizes) + sum(block.shape[1] for block in blocks)
    context = np.zeros((len(missing), width), dtype=np.float32)
    if missing.any():
        context[:, :start] = missing
    for k, size in enumerate(sizes):
        context[rows, start + codes[:, k]] = 1.0
        start += size
    for block in blocks:
        context[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return context


def frequent_slices(slices: Objects) -> tuple[str, ...]:
    """Names of the slices that get a code of their own, most rows first."""
    names, counts = np.unique(slices.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SLICES_MAX]
    return tuple(str(names[i]) for i in order if counts[i] >= SLICE_ROWS_MIN)


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
