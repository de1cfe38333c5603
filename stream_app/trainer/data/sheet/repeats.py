"""Rows that come more than once: copies within and across the spans, and one content that floods the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowlib.copies import contents, newest, units
from flowlib.density import Density
from flowlib.table import Bools, Ints, Table
from stream_app.trainer.data.caps import CAP
from stream_app.trainer.data.rows import joined
from stream_app.trainer.data.sheet.findings import Finding, Material, Severity

TOLD_SHARE = 0.01
COPIES_MAX = 0.5
"""A larger share of copies is severe."""
FLOOD_TOLD, FLOOD_MAX = 0.05, 0.1
"""Share of a span's rows that one content makes from which on it is looked at, and is severe."""
_FEW = 40
_SPIKE = 0.995


def duplicates(m: Material) -> Iterator[Finding]:
    """Copies (:mod:`flowlib.copies`) among all rows that were read, and of held-out rows in the training span."""
    table = m.rows.table
    if not len(table):
        return
    unit = units(table)
    share = 1.0 - len(newest(unit)) / len(table)
    if share >= TOLD_SHARE:
        says = f"{share:.1%} of the rows are copies of others in every column: look for what sends or joins them again"
        severity: Severity = "severe" if share > COPIES_MAX else "warning"
        yield Finding("duplicates", severity, (), {"share": share}, says)
    if len(m.split.held_out):
        held = table.time_ms >= m.split.held_out.time_ms[0]
        across = float(np.isin(unit[held], unit[~held]).mean())
        if across >= TOLD_SHARE:
            says = (
                f"{across:.1%} of the rows that calibrate or judge have copies in the training span, which do not train"
            )
            yield Finding("duplicates across spans", "warning", (), {"share": across}, says)


def floods(m: Material) -> Iterator[Finding]:
    """One content that makes much of the training or of the held-out rows, and did not before: its share of a block is
    more than :data:`~stream_app.trainer.data.caps.CAP` times what was usual in the older half of the training blocks,
    or the model in service gives it no more than it gives ordinary rows, though rows agree in it by no chance.
    """
    both = m.strange_only(joined(m.train, m.split.held_out))
    if not len(both) or not len(m.split.held_out):
        return
    content, held = contents(both), both.time_ms >= m.split.held_out.time_ms[0]
    shares = [np.bincount(content[part], minlength=content.max() + 1) / max(part.sum(), 1) for part in (held, ~held)]
    share = np.maximum(shares[0], shares[1])
    for one in np.flatnonzero(share >= FLOOD_TOLD).tolist():
        rows = content == one
        now, before = _now_and_before(m.blocks.of(both), rows, held)
        if now <= CAP * before and not _is_unknown(both, rows, m.champion):
            continue
        says = (
            f"{share[one]:.0%} of the rows of a span are equal in every column, and were not before or are nothing "
            "that the model in service knows: find who sends them; a new state of a machine has to be accepted first"
        )
        figure = {"share": float(share[one]), "usual_share": before}
        yield Finding("flood", "severe" if share[one] >= FLOOD_MAX else "warning", (), figure, says)


def _now_and_before(block: Ints, rows: Bools, held: Bools) -> tuple[float, float]:
    """The median share of the content on the blocks that it floods (the upper half of the newer ones), and on the older
    half of the training blocks.
    """
    there, at = np.unique(block, return_inverse=True)
    share = np.bincount(at, rows) / np.bincount(at)
    old = max(len(np.unique(block[~held])) // 2, 1)
    return float(np.quantile(share[old:], 0.75)) if len(there) > old else 0.0, float(np.median(share[:old]))


def _is_unknown(table: Table, rows: Bools, champion: Density | None) -> bool:
    """Whether a content is no spike of the champion's density, and none of rows that agree by chance."""
    if champion is None:
        return False
    at = np.flatnonzero(rows)
    some = np.concatenate([at[:_FEW], np.flatnonzero(~rows)[:20_000]])
    unit = units(table.take(some))
    if len(np.unique(unit[: len(at[:_FEW])])) > 1:
        return False
    scores = champion.score(table.take(some))
    log_prob = scores.log_prob[scores.scorable & (np.arange(len(some)) >= len(at[:_FEW]))]
    return bool(len(log_prob)) and bool(scores.log_prob[0] <= np.quantile(log_prob, _SPIKE))
