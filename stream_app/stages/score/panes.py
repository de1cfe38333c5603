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

from flowlib.calibration import PIT_BINS
from flowlib.channels import value_codes
from flowlib.table import Bools, Coded, Ints
from schemas.pane_layout import ALPHAS, GROUPS, LOG_PROB_CLIP, NO_HIGH, NO_LOW, PaneLayout, fixed_square, fixed_sum
from stream_app.config import WindowsConfig
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score.screening import Screening


@dataclass(slots=True)
class Pane:
    """An open pane of one slicing: a row for each slice seen, grown as needed.

    Attributes:
        model_id: the model that scores it.
        slices: slice name to its row.
        rows: ``(M, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
        pit: ``(d, 20)`` int64 histograms of all its events, where it is a pane of the first slicing; else no rows.
    """

    model_id: str
    pit: Ints
    slices: dict[str, int] = field(default_factory=dict)
    rows: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "model_id": self.model_id,
            "slices": list(self.slices),
            "rows": self.rows[: len(self.slices)],
            "pit": self.pit,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Pane:
        """Inverse of :meth:`to_state`."""
        slices = {name: i for i, name in enumerate(state["slices"])}
        return cls(state["model_id"], np.array(state["pit"]), slices, np.array(state["rows"]))


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
        values: ``(n, w)`` columns of each event by itself.
        pit: ``(n, d)`` place of each PIT value in a histogram of d · 20 bins; −1 where there is none.
        slices: for each slicing the slice that each is counted in.
    """

    scored: ScoredBatch
    target_ms: Ints
    wanted: Bools
    values: Ints
    pit: Ints
    slices: tuple[Coded, ...]


def fill_panes(
    panes: OpenPanes,
    layout: PaneLayout,
    scored: ScoredBatch,
    timing: Screening,
    windows: WindowsConfig,
    slices: tuple[Coded, ...],
) -> list[Closing]:
    """Let the events of a batch enter their panes, in order; and close panes where the screening says so.

    Args:
        panes: the open panes, changed in place.
        layout: columns of their rows.
        scored: n events, ``scored.model`` that of the pane they go to (:attr:`~Screening.target_ms`).
        timing: how far panes are closed before and after each of them.
        windows: length of a pane.
        slices: for each slicing the slice that each event is counted in (:attr:`~.admission.Seating.names`).
    """
    filling = _filling(layout, scored, timing, slices)
    closings = []
    cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms).tolist()
    for first, last in pairwise(sorted({0, *cuts, len(scored.model)})):
        if timing.closed_after_ms[first] > timing.closed_before_ms[first]:
            closings.append(_close(panes, timing, first, int(windows.pane)))
        rows = first + np.flatnonzero(filling.wanted[first:last])
        for start in np.unique(filling.target_ms[rows]).tolist():
            _enter(panes, layout, filling, start, rows[filling.target_ms[rows] == start])
    return closings


def _filling(layout: PaneLayout, scored: ScoredBatch, timing: Screening, slices: tuple[Coded, ...]) -> _Filling:
    """The columns of each event by itself, int64."""
    place, windowed = layout.columns, scored.scorable
    unscorable = timing.wanted & ~windowed
    values = layout.blank(len(windowed))
    values[:, place["late"].start] = timing.late
    values[:, place["unscorable"].start] = unscorable
    if scored.events.coerced is not None:
        values[:, place["coerced"].start] = scored.events.coerced > 0
    values[windowed] = _of_windowed(layout, scored, windowed)
    bins = np.clip((scored.pit * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1) + np.arange(layout.d) * PIT_BINS
    pit = np.where(windowed[:, None] & ~scored.missing, bins, -1)
    return _Filling(scored, timing.target_ms, timing.wanted | timing.late, values, pit, slices)


def _of_windowed(layout: PaneLayout, scored: ScoredBatch, windowed: Bools) -> Ints:
    """Columns ``(m, w)`` of the m events that have a score."""
    place, missing = layout.columns, scored.missing[windowed]
    log_prob = np.clip(scored.log_prob[windowed], -LOG_PROB_CLIP, LOG_PROB_CLIP)
    codes = value_codes(scored.events.numeric[windowed])
    group = scored.group[windowed]
    values = np.zeros((len(missing), layout.width), dtype=np.int64)
    values[:, place["seen"].start] = values[:, place["scored"].start] = 1
    values[:, place["missing"]] = missing
    values[:, place["low"]], values[:, place["high"]] = (
        np.where(missing, NO_LOW, codes),
        np.where(missing, NO_HIGH, codes),
    )
    values[:, place["log_prob_sum"].start] = fixed_sum(log_prob)
    values[:, place["log_prob_square_sum"].start] = fixed_square(log_prob)
    values[:, place["adaptive"].start] = scored.adaptive[windowed]
    values[:, place["p_le"]] = scored.p_value[windowed, None] <= np.array(ALPHAS)
    values[:, place["base"]] = scored.base[windowed]
    values[:, place["square"]] = scored.base[windowed] ** 2
    values[:, place["product"]] = scored.product[windowed]
    values[:, place["value"]] = scored.value[windowed]
    for k in range(layout.k):
        values[np.arange(len(group)), place["group"].start + k * GROUPS + group[:, k]] = 1
    return values


def _enter(panes: OpenPanes, layout: PaneLayout, filling: _Filling, start: int, rows: Ints) -> None:
    """Add events (indices, ascending) to the pane that starts at ``start``."""
    if start not in panes:
        model_id, slicings = filling.scored.model[rows[0]], len(filling.slices)
        sizes = [layout.d] + [0] * (slicings - 1)
        panes[start] = [Pane(model_id, np.zeros((d, PIT_BINS), dtype=np.int64)) for d in sizes]
    bins = filling.pit[rows]
    panes[start][0].pit += np.bincount(bins[bins >= 0], minlength=layout.d * PIT_BINS).reshape(-1, PIT_BINS)
    for pane, slices in zip(panes[start], filling.slices, strict=True):
        codes = slices.codes[rows]
        order = np.argsort(codes, kind="stable")
        first = np.flatnonzero(np.diff(codes[order], prepend=-1))
        index = _rows_of(pane, slices.names, codes, order[first], layout)
        layout.merge(pane.rows, index, layout.merge_sorted(filling.values[rows[order]], first))


def _rows_of(pane: Pane, names: list[str], codes: Ints, first: Ints, layout: PaneLayout) -> Ints:
    """Row of each slice, by the places ``(m,)`` of their first events; new ones are made in the order of those."""
    rows, index = pane.slices, np.empty(len(first), dtype=np.int64)
    order = np.argsort(first)
    index[order] = [rows.setdefault(names[code], len(rows)) for code in codes[first[order]].tolist()]
    if len(pane.slices) > len(pane.rows):
        grown = layout.blank(max(16, 2 * len(pane.slices)))
        if pane.rows.size:
            grown[: len(pane.rows)] = pane.rows
        pane.rows = grown
    return index


def _close(panes: OpenPanes, timing: Screening, row: int, pane_ms: int) -> Closing:
    closed, due = int(timing.closed_after_ms[row]), int(timing.due_ms[row])
    done = sorted(start for start in panes if start + pane_ms <= closed)
    early = sum(start + pane_ms > due for start in done)
    return Closing(row, closed, [(start, panes.pop(start)) for start in done], early)
