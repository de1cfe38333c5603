"""Panes of one source partition: rows in, additive integer columns per slice out, whatever the batch size.

Rows are taken one after the other as far as anybody can tell: a row is late when the rows *before it on its partition*
have closed its pane, and a pane is sent at the row that closes it. So the bytes sent depend on the partition's
content alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Floats, Ints
from schemas.pane_layout import ALPHAS, BETS, LOG_PROB_CLIP, PIT_BINS, PaneLayout, fixed_square, fixed_sum
from stream_app.stages.batches import ScoredBatch

OTHER = "__other__"
"""Slice of the events whose own slice came after ``windows.max_slices`` others."""

TOP_MAX = 5
"""Events of a slice and pane whose offsets are kept: its most anomalous."""

TOP_P_VALUE = 0.05
"""Events above it are not among them."""


@dataclass(slots=True)
class Pane:
    """An open pane of one slicing: a row for each slice seen, grown as needed.

    Attributes:
        model_id: the model that scores it.
        slices: slice name to its row.
        rows: ``(M, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
        top: row to its most anomalous events, ``(p_value, offset)`` ascending.
    """

    model_id: str
    slices: dict[str, int] = field(default_factory=dict)
    rows: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    top: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def indices(self, names: list[str], layout: PaneLayout, slices_max: int) -> Ints:
        """Row index of each slice name; names past the cap share ``__other__``."""
        index = np.empty(len(names), dtype=np.int64)
        for i, name in enumerate(names):
            row = self.slices.get(name)
            if row is None:
                name = name if len(self.slices) < slices_max else OTHER
                row = self.slices.setdefault(name, len(self.slices))
            index[i] = row
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
            "slices": list(self.slices),
            "rows": self.rows[: len(self.slices)],
            "top": [[i, [list(item) for item in items]] for i, items in self.top.items()],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Pane:
        """Inverse of :meth:`to_state`."""
        slices = {name: i for i, name in enumerate(state["slices"])}
        top = {i: [(float(p), int(offset)) for p, offset in items] for i, items in state["top"]}
        return cls(state["model_id"], slices, np.array(state["rows"]), top)


def add_rows(
    pane: Pane, layout: PaneLayout, scored: ScoredBatch, names: list[str], rows: Ints, slices_max: int
) -> None:
    """Add scored rows (indices into ``scored``) to a pane; ``names`` are their slices in this slicing."""
    index = pane.indices(names, layout, slices_max)
    np.add.at(pane.rows[:, : layout.columns["pit"].start], index, _row_values(layout, scored, rows))
    _add_pit(pane, layout, scored, rows, index)
    _keep_top(pane, index, scored.p_value[rows], scored.events.offsets[rows])


def _row_values(layout: PaneLayout, scored: ScoredBatch, rows: Ints) -> Ints:
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


def count_rows(pane: Pane, layout: PaneLayout, column: str, names: list[str], slices_max: int) -> None:
    """Count rows that carry no score (``late``, ``unscorable``) under their slices."""
    index = pane.indices(names, layout, slices_max)
    np.add.at(pane.rows[:, layout.columns[column].start], index, 1)


def _add_pit(pane: Pane, layout: PaneLayout, scored: ScoredBatch, rows: Ints, index: Ints) -> None:
    bins = np.clip((scored.pit[rows] * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)
    column = layout.columns["pit"].start + np.arange(layout.d) * PIT_BINS + bins
    present = ~scored.missing[rows]
    np.add.at(pane.rows, (np.broadcast_to(index[:, None], column.shape)[present], column[present]), 1)


def _keep_top(pane: Pane, index: Ints, p_value: Floats, offsets: Ints) -> None:
    for i in np.flatnonzero(p_value <= TOP_P_VALUE):
        top = pane.top.setdefault(int(index[i]), [])
        top.append((float(p_value[i]), int(offsets[i])))
        top.sort()
        del top[TOP_MAX:]
