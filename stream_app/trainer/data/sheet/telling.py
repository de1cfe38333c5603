"""Columns that tell when a row was made: a model learns the calendar from them, and all that comes is new to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from flowlib.table import Floats, Ints
from stream_app.trainer.data.sheet.findings import Finding, Material, auc, slices_of

RANK_MAX = 0.99
"""Spearman's correlation with time from which on a column tells it."""
STEP_MAX = 0.6
"""Mean of 2 AUC − 1 of each block against the one before it: 1 is a column that only grows, 0 one that comes back."""
APART = 0.9
CONFINED = 0.9
_ROWS_MIN, _SLICES_MAX, _PAIRS_MIN, _PAIRS_MAX, _OF_BLOCK, _LEVEL_MIN = 100, 8, 10, 60, 200, 5


def leakage(m: Material) -> Iterator[Finding]:
    """Numbers that grow or fall with time, in most slices or block by block; categories whose levels come once; numbers
    that grow within each block; and numbers that tell the training rows from the gate's.
    """
    table = m.every
    block = m.blocks.of(table)
    slices = [rows for _, rows in slices_of(table, _ROWS_MIN, _SLICES_MAX)]
    for name, x in zip(m.names, table.numeric.T, strict=True):
        rank = _median_rank(x, slices)
        step, inside = _steps(x, block)
        figure = {"rank_correlation": rank, "step": step, "within_block": inside}
        if abs(rank) >= RANK_MAX or abs(step) >= STEP_MAX:
            says = (
                f"{name} {'grows' if rank + step > 0 else 'falls'} with time (rank correlation {rank:.3f}), so that it "
                "tells when a row was made: leave it out, or take its difference from the value before"
            )
            yield Finding("leakage", "severe", (name,), figure, says)
        elif abs(inside) >= 0.95:
            says = f"{name} only moves one way within a {m.blocks.name}: it tells the order of the rows"
            yield Finding("row order", "warning", (name,), figure, says)
        else:
            yield from _apart(m, name, x, table.time_ms)
    for name, levels in zip(m.config.event.categorical, table.categories.T, strict=True):
        share = _confined(levels.astype(str), block)
        if share >= CONFINED:
            says = f"the levels of {name} come once and not again, so that they tell when a row was made: leave it out"
            yield Finding("leakage", "severe", (name,), {"confined_share": share}, says)


def _apart(m: Material, name: str, x: Floats, time_ms: Ints) -> Iterator[Finding]:
    if not len(m.split.gate) or not len(m.train):
        return
    there, gate = ~np.isnan(x), time_ms >= m.split.gate.time_ms[0]
    train = time_ms <= m.train.time_ms[-1]
    low, high = x[there & train], x[there & gate]
    if min(len(low), len(high)) < _ROWS_MIN:
        return
    told = auc(low, high)
    if abs(2 * told - 1) >= APART:
        says = (
            f"{name} alone tells rows of the gate from training rows (AUC {told:.3f}): it has moved, or tells the time"
        )
        yield Finding("shift", "warning", (name,), {"auc": told}, says)


def _median_rank(x: Floats, slices: list[Ints]) -> float:
    """The median over slices of the rank correlation with time; 0 where no slice has enough values."""
    found = []
    for rows in slices:
        values = x[rows][~np.isnan(x[rows])]
        if len(values) >= _ROWS_MIN:
            found.append(_with_order(values))
    return float(np.median(found)) if found else 0.0


def _with_order(values: Floats) -> float:
    ranks = rankdata(values)
    if ranks.min() == ranks.max():
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


def _steps(x: Floats, block: Ints) -> tuple[float, float]:
    """``(mean of 2 AUC − 1 of a block after another, mean rank correlation within a block)``."""
    there = ~np.isnan(x)
    x, block = x[there], block[there]
    first = np.flatnonzero(np.diff(block, prepend=block[:1] - 1))
    parts = [part for part in np.split(x, first[1:]) if len(part) >= _PAIRS_MIN] if len(x) else []
    if len(parts) <= _PAIRS_MIN:
        return 0.0, 0.0
    at = np.unique(np.linspace(0, len(parts) - 2, _PAIRS_MAX).astype(int)).tolist()
    steps = [2 * auc(parts[i][:_OF_BLOCK], parts[i + 1][:_OF_BLOCK]) - 1 for i in at]
    return float(np.mean(steps)), float(np.mean([_with_order(parts[i][:_OF_BLOCK]) for i in at]))


def _confined(levels: Ints, block: Ints) -> float:
    """Share of the rows that lie in the two neighbouring blocks where their level is most; 0 where levels are few."""
    _, level, count = np.unique(levels, return_inverse=True, return_counts=True)
    often = count[level] >= _LEVEL_MIN
    if len(count) < _LEVEL_MIN or often.mean() < 0.5 or len(np.unique(block)) < _PAIRS_MIN:
        return 0.0
    blocks = block - block.min() + 1
    width = int(blocks.max()) + 2
    cell, number = np.unique(level[often] * width + blocks[often], return_counts=True)
    grid = dict(zip(cell.tolist(), number.tolist(), strict=True))
    best: dict[int, int] = {}
    for one, rows in grid.items():
        best[one // width] = max(best.get(one // width, 0), rows + grid.get(one + 1, 0))
    return sum(best.values()) / int(often.sum())
