"""Where time has no rows: gaps, of all rows and of slices, and offsets that are deleted already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowlib.table import Ints
from stream_app.terminal import utc
from stream_app.trainer.data.sheet.findings import Finding, Material, Severity, slices_of
from stream_app.trainer.data.spans import main_span

_USUAL = 10.0
"""Rows a block on average from which on an empty block is no chance: e⁻¹⁰."""
_SLICES_MAX = 500
_NAMED = 3


def gaps(m: Material) -> Iterator[Finding]:
    """Blocks without a row between the first row and the last one, of all rows and of each slice."""
    first_ms, last_ms = main_span(m.rows.table.time_ms)
    table = m.rows.table.take((m.rows.table.time_ms >= first_ms) & (m.rows.table.time_ms <= last_ms))
    block, most = m.blocks.of(table), m.config.trainer.max_missing_share
    missing, total, at = _empty(block)
    if missing:
        share, unusual = missing / total, len(block) >= _USUAL * (total - missing)
        severity: Severity = "severe" if share > most and unusual else "warning" if unusual else "info"
        says = (
            f"{missing:,} of {total:,} {m.blocks.name}s between the first row and the last have no rows, the longest "
            f"gap begins at {utc(at * m.blocks.length_ms)}: look for events that were not sent or not kept"
        )
        yield Finding("gap", severity, (), {"missing": missing, "blocks": total, "share": share}, says)
    there, holes = np.unique(block), []
    for name, rows in slices_of(table, int(_USUAL), _SLICES_MAX):
        missing, total, _ = _empty(np.searchsorted(there, block[rows]))
        if missing and len(rows) >= _USUAL * (total - missing):
            holes.append((missing / total, name))
    if holes:
        worst = sorted(holes, reverse=True)
        named = ", ".join(f"{name} ({share:.0%})" for share, name in worst[:_NAMED])
        says = f"slices without rows on {m.blocks.name}s where others have some: {named}{_more(len(worst))}"
        figure = {"slices": len(worst), "worst_share": worst[0][0]}
        yield Finding("gap in slices", "warning", (), figure, says)


def deleted(m: Material) -> Iterator[Finding]:
    """Offsets that retention had deleted before they were read, and rows that begin later than was asked for."""
    asked, gone, most = m.rows.asked, m.rows.deleted, m.config.trainer.max_missing_share
    if gone and asked:
        share = gone / asked
        says = (
            f"{gone:,} of the {asked:,} offsets that were asked for ({share:.0%}) are already deleted by retention: "
            "keep events for longer (retention.ms of the events topic), or set a shorter retrain.reference"
        )
        yield Finding("deleted", "severe" if share > most else "warning", (), {"offsets": gone, "share": share}, says)
    if m.rows.from_ms > 0 and len(m.rows):
        first, length = int(m.rows.table.time_ms[0]), max(m.rows.to_ms - m.rows.from_ms, 1)
        share = (first - m.rows.from_ms) / length
        if share > most:
            says = f"rows are asked for from {utc(m.rows.from_ms)} on, and begin at {utc(first)}"
            yield Finding("short reference", "info", (), {"share": share, "from_ms": first}, says)


def _empty(block: Ints) -> tuple[int, int, int]:
    """``(blocks without a row, all blocks, where the longest gap begins)`` between the first block and the last."""
    there = np.unique(block)
    if len(there) < 2:
        return 0, len(there), 0
    steps = np.diff(there)
    return int((steps - 1).sum()), int(there[-1] - there[0] + 1), int(there[steps.argmax()]) + 1


def _more(count: int) -> str:
    return f" and {count - _NAMED} more" if count > _NAMED else ""
