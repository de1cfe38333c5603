"""Panes of one source partition: rows in, mergeable blocks and markers out, whatever the batch size.

Rows are taken one after the other as far as anybody can tell: a row is late when the rows *before it on its partition*
have closed its pane, and a pane is sent at the row that closes it. So the bytes sent depend on the partition's
content alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Ints
from schemas.pane_layout import ALPHAS, BETS, LOG_PROB_CLIP, PIT_BINS, Layout, fixed_square, fixed_sum
from stream_app.stages.batches import ScoredBatch

OTHER = "__other__"
TOP_K = 5

NO_OFFSET = 2**62
"""``offset_start`` of a pane that holds no scored row."""


@dataclass(slots=True)
class Pane:
    """An open pane of one slicing: a row for each slice seen, grown as needed."""

    model_id: str
    offset_start: int = NO_OFFSET
    offset_end: int = 0
    slices: dict[str, int] = field(default_factory=dict)
    rows: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    top: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def indices(self, names: list[str], layout: Layout, slices_max: int) -> Ints:
        """Row index of each slice name; names past the cap share ``__other__``."""
        index = np.empty(len(names), dtype=np.int64)
        for i, name in enumerate(names):
            at = self.slices.get(name)
            if at is None:
                name = name if len(self.slices) < slices_max else OTHER
                at = self.slices.setdefault(name, len(self.slices))
            index[i] = at
        if len(self.slices) > len(self.rows):
            grown = np.zeros((max(16, 2 * len(self.slices)), layout.width), dtype=np.int64)
            if self.rows.size:
                grown[: len(self.rows)] = self.rows
            self.rows = grown
        return index

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "model_id": self.model_id,
            "offsets": [self.offset_start, self.offset_end],
            "slices": list(self.slices),
            "rows": self.rows[: len(self.slices)],
            "top": [[i, [list(item) for item in items]] for i, items in self.top.items()],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Pane:
        """Inverse of :meth:`to_state`."""
        slices = {name: i for i, name in enumerate(state["slices"])}
        top = {i: [(float(p), int(offset)) for p, offset in items] for i, items in state["top"]}
        start, end = state["offsets"]
        return cls(state["model_id"], start, end, slices, np.array(state["rows"]), top)


def add_rows(pane: Pane, layout: Layout, scored: ScoredBatch, names: list[str], rows: Ints, slices_max: int) -> None:
    """Add scored rows (indices into ``scored``) to a pane; ``names`` are their slices in this slicing."""
    at = pane.indices(names, layout, slices_max)
    np.add.at(pane.rows[:, : layout.columns["pit"].start], at, _row_values(layout, scored, rows))
    offsets = scored.events.offsets[rows]
    pane.offset_start = min(pane.offset_start, int(offsets.min()))
    pane.offset_end = max(pane.offset_end, int(offsets.max()) + 1)
    _add_pit(pane, layout, scored, rows, at)
    _keep_top(pane, at, scored.p_value[rows], offsets)


def _row_values(layout: Layout, scored: ScoredBatch, rows: Ints) -> Ints:
    """The columns of each row by itself, int64; the wide PIT columns are left out and added in place."""
    values = np.zeros((len(rows), layout.columns["pit"].start), dtype=np.int64)
    log_prob = np.clip(scored.log_prob[rows], -LOG_PROB_CLIP, LOG_PROB_CLIP)
    p = scored.p_value[rows]
    place = layout.columns
    values[:, place["seen"]] = 1
    values[:, place["missing"]] = scored.missing[rows]
    values[:, place["scored"]] = 1
    values[:, place["log_prob_sum"].start] = fixed_sum(log_prob)
    values[:, place["log_prob_square_sum"].start] = fixed_square(log_prob)
    values[:, place["p_le"]] = p[:, None] <= np.array(ALPHAS)
    values[:, place["bets"]] = fixed_sum(np.log1p(np.array(BETS) * (p[:, None] - 0.5)))
    return values


def count_rows(pane: Pane, layout: Layout, column: str, names: list[str], slices_max: int) -> None:
    """Count rows that carry no score (``late``, ``unscorable``) under their slices."""
    at = pane.indices(names, layout, slices_max)
    np.add.at(pane.rows[:, layout.columns[column].start], at, 1)


def _add_pit(pane: Pane, layout: Layout, scored: ScoredBatch, rows: Ints, at: Ints) -> None:
    bins = np.clip((scored.pit[rows] * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)
    column = layout.columns["pit"].start + np.arange(layout.d) * PIT_BINS + bins
    present = ~scored.missing[rows]
    np.add.at(pane.rows, (np.broadcast_to(at[:, None], column.shape)[present], column[present]), 1)


def _keep_top(pane: Pane, at: Ints, p_value: Any, offsets: Ints) -> None:
    for i in np.flatnonzero(p_value <= 0.05):
        items = pane.top.setdefault(int(at[i]), [])
        items.append((float(p_value[i]), int(offsets[i])))
        items.sort()
        del items[TOP_K:]
