"""Panes of one source partition: rows in, additive integer columns per slice out, whatever the batch size.

Rows are taken one after the other as far as anybody can tell: a row is late when the rows *before it on its partition*
have closed its pane, and a pane is sent at the row that closes it. So the bytes sent depend on the partition's
content alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import ALPHAS, BETS, LOG_PROB_CLIP, OTHER, PIT_BINS, PaneLayout, fixed_square, fixed_sum
from stream_app.config import WindowsConfig
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score.screening import Screening

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


OpenPanes = dict[int, list[Pane]]
"""Pane start to one Pane for each slicing."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What one row closes.

    Attributes:
        row: the event (its index in the batch).
        closed_ms: panes that end at or before it are closed.
        panes: ``(start_ms, one Pane for each slicing)`` of those that held something, oldest first.
        early: how many of them ``windows.max_open_panes`` closed before their time; one that holds late rows only is
            one too.
    """

    row: int
    closed_ms: int
    panes: list[tuple[int, list[Pane]]]
    early: int


@dataclass(frozen=True, slots=True)
class _Filling:
    """The events of a batch with their columns.

    Attributes:
        target_ms: ``(n,)`` the pane that each event goes to.
        wanted: ``(n,)`` events that go to a pane: scored, late or unscorable.
        values: ``(n, v)`` columns before the PIT.
        pit: ``(n, d)`` column of each PIT value.
        present: ``(n, d)`` where there is one.
    """

    scored: ScoredBatch
    target_ms: Ints
    wanted: Bools
    values: Ints
    pit: Ints
    present: Bools
    slices_max: int


def fill_panes(
    panes: OpenPanes, layout: PaneLayout, scored: ScoredBatch, timing: Screening, windows: WindowsConfig
) -> list[Closing]:
    """Let the events of a batch enter their panes, in order; and close panes where the screening says so.

    Args:
        panes: the open panes, changed in place.
        layout: columns of their rows.
        scored: n events, ``scored.model`` that of the pane they go to (:attr:`~Screening.target_ms`).
        timing: how far panes are closed before and after each of them.
        windows: length of a pane, and the bound on slices.
    """
    filling = _filling(layout, scored, timing, int(windows.max_slices))
    closings = []
    cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms).tolist()
    for first, last in pairwise(sorted({0, *cuts, len(scored.model)})):
        if timing.closed_after_ms[first] > timing.closed_before_ms[first]:
            closings.append(_close(panes, timing, first, int(windows.pane)))
        rows = first + np.flatnonzero(filling.wanted[first:last])
        for start in np.unique(filling.target_ms[rows]).tolist():
            _enter(panes, layout, filling, start, rows[filling.target_ms[rows] == start])
    return closings


def _filling(layout: PaneLayout, scored: ScoredBatch, timing: Screening, slices_max: int) -> _Filling:
    """The columns of each event by itself, int64."""
    place, windowed = layout.columns, scored.scorable
    unscorable = timing.wanted & ~windowed
    values = np.zeros((len(windowed), place["pit"].start), dtype=np.int64)
    values[:, place["late"].start] = timing.late
    values[:, place["unscorable"].start] = unscorable
    log_prob, p = np.clip(scored.log_prob, -LOG_PROB_CLIP, LOG_PROB_CLIP), scored.p_value[:, None]
    values[windowed, place["seen"].start] = 1
    values[windowed, place["missing"]] = scored.missing[windowed]
    values[windowed, place["scored"].start] = 1
    values[windowed, place["log_prob_sum"].start] = fixed_sum(log_prob[windowed])
    values[windowed, place["log_prob_square_sum"].start] = fixed_square(log_prob[windowed])
    values[windowed, place["p_le"]] = p[windowed] <= np.array(ALPHAS)
    values[windowed, place["bets"]] = fixed_sum(np.log1p(np.array(BETS) * (p[windowed] - 0.5)))
    bins = np.clip((scored.pit * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)
    pit = place["pit"].start + np.arange(layout.d) * PIT_BINS + bins
    wanted = timing.wanted | timing.late
    present = ~scored.missing & windowed[:, None]
    return _Filling(scored, timing.target_ms, wanted, values, pit, present, slices_max)


def _enter(panes: OpenPanes, layout: PaneLayout, filling: _Filling, start: int, rows: Ints) -> None:
    """Add events (indices, ascending) to the pane that starts at ``start``."""
    events, width = filling.scored.events, filling.values.shape[1]
    if start not in panes:
        panes[start] = [Pane(filling.scored.model[rows[0]]) for _ in range(events.slices.shape[1])]
    present, pit = filling.present[rows], filling.pit[rows]
    for pane, names in zip(panes[start], events.slices[rows].T.tolist(), strict=True):
        index = _rows_of(pane, names, layout.width, filling.slices_max)
        np.add.at(pane.rows[:, :width], index, filling.values[rows])
        np.add.at(pane.rows, (np.broadcast_to(index[:, None], pit.shape)[present], pit[present]), 1)
        _keep_top(pane, index, filling.scored.p_value[rows], events.offsets[rows])


def _rows_of(pane: Pane, names: list[str], width: int, slices_max: int) -> Ints:
    """Row of each slice name, made where it is new; names past the cap share ``__other__``."""
    index = np.empty(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        row = pane.slices.get(name)
        if row is None:
            name = name if len(pane.slices) < slices_max else OTHER
            row = pane.slices.setdefault(name, len(pane.slices))
        index[i] = row
    if len(pane.slices) > len(pane.rows):
        grown = np.zeros((max(16, 2 * len(pane.slices)), width), dtype=np.int64)
        if pane.rows.size:
            grown[: len(pane.rows)] = pane.rows
        pane.rows = grown
    return index


def _keep_top(pane: Pane, index: Ints, p_value: Floats, offsets: Ints) -> None:
    """Events without a score have the p-value 1."""
    for i in np.flatnonzero(p_value <= TOP_P_VALUE):
        top = pane.top.setdefault(int(index[i]), [])
        top.append((float(p_value[i]), int(offsets[i])))
        top.sort()
        del top[TOP_MAX:]


def _close(panes: OpenPanes, timing: Screening, row: int, pane_ms: int) -> Closing:
    closed, due = int(timing.closed_after_ms[row]), int(timing.due_ms[row])
    done = sorted(start for start in panes if start + pane_ms <= closed)
    early = sum(start + pane_ms > due for start in done)
    return Closing(row, closed, [(start, panes.pop(start)) for start in done], early)
