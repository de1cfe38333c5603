"""Panes of one source partition: rows in, additive integer columns per slice out, whatever the batch size.

Rows are taken one after the other as far as anybody can tell: a row is late when the rows *before it on its partition*
have closed its pane, and a pane is sent at the row that closes it. So the bytes sent depend on the partition's
content alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.pit import PIT_BINS
from flowlib.table import Bools, Coded, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import WindowsConfig
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score.pools import Lookup, looked_up
from stream_app.stages.score.screening import Screening
from stream_app.stages.score.sums import Groups, add_events, odd_sums


@dataclass(slots=True)
class Pane:
    """An open pane of one slicing: a row for each slice seen, grown as needed.

    Attributes:
        model_id: the model that scores it.
        slices: slice name to its row.
        rows: ``(M, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
        pit: ``(d, 20)`` int64 histograms of all its events, where it is a pane of the first slicing; else no rows.
        found: what ``slices`` has of names with numbers; in no snapshot.
    """

    model_id: str
    pit: Ints
    slices: dict[str, int] = field(default_factory=dict)
    rows: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    found: Lookup = field(default_factory=Lookup, repr=False, compare=False)

    def rows_of(self, names: Coded) -> Ints:
        """By code the row of each slice, −1 where it has none."""
        room = _ROOM * (len(self.slices) + _FEW)  # many panes may be open, and a pool hold many more names than one
        return self.found.of(names, lambda texts: looked_up(texts, self.slices, -1), room)

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
    # No event goes to a pane that is closed when it comes, so that all may enter before any pane is closed.
    rows = np.flatnonzero(timing.wanted | timing.late)
    target_ms = timing.target_ms[rows]
    known = np.intersect1d(target_ms, np.array([*panes], dtype=np.int64))
    for start in known.tolist():
        _enter(panes[start], layout, scored, timing, slices, rows[target_ms == start])
    fresh = ~np.isin(target_ms, known)
    if fresh.any():
        panes.update(_opened(layout, scored, timing, slices, rows[fresh], target_ms[fresh]))
    cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms).tolist()
    return [_close(panes, timing, row, int(windows.pane)) for row in cuts]


def _enter(
    panes: list[Pane], layout: PaneLayout, scored: ScoredBatch, timing: Screening, slices: tuple[Coded, ...], rows: Ints
) -> None:
    """Add events (indices, ascending) to a pane that has some already."""
    whole = rows[scored.scorable[rows]]
    panes[0].pit += _histograms(layout, scored, whole, np.zeros(len(whole), dtype=np.int64), 1)[0]
    for pane, column in zip(panes, slices, strict=True):
        place = _places(pane, layout, column, rows)[column.codes]
        _add(layout, scored, timing, pane.model_id, rows, place, pane.rows)


def _opened(
    layout: PaneLayout, scored: ScoredBatch, timing: Screening, slices: tuple[Coded, ...], rows: Ints, target_ms: Ints
) -> OpenPanes:
    """Panes that begin with these events (indices, ascending), by their starts: made together, for in a file there may
    be one for every other event.
    """
    starts, first, pane = np.unique(target_ms, return_index=True, return_inverse=True)
    models = [scored.model[row] for row in rows[first].tolist()]
    scorable = scored.scorable[rows]
    pit = _histograms(layout, scored, rows[scorable], pane[scorable], len(starts))
    opened: OpenPanes = {start: [] for start in starts.tolist()}
    for column in slices:
        cell, names, edges = _cells(column, rows, pane, len(starts))
        place, cells = np.zeros(len(scored.model), dtype=np.int64), layout.blank(len(names))
        place[rows] = cell
        for model_id in dict.fromkeys(models):
            of_model = np.array([model == model_id for model in models])
            _add(layout, scored, timing, model_id, rows[of_model[pane]], place, cells)
        for k, panes in enumerate(opened.values()):
            a, b = edges[k], edges[k + 1]
            own = pit[k, : 0 if panes else layout.d]  # of the first slicing alone
            panes.append(Pane(models[k], own, {name: i for i, name in enumerate(names[a:b])}, cells[a:b]))
    return opened


def _cells(column: Coded, rows: Ints, pane: Ints, n: int) -> tuple[Ints, list[str], list[int]]:
    """Slices in n panes: of each event which one it is, in the order of the panes and then of the events; their names;
    and where each pane begins among them.
    """
    codes = len(column.names)
    found, first, which = np.unique(pane * codes + column.codes[rows], return_index=True, return_inverse=True)
    order = np.lexsort((first, found // codes))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    names = [column.names[code] for code in (found[order] % codes).tolist()]
    return place[which], names, np.searchsorted(found // codes, np.arange(n + 1)).tolist()


def _add(
    layout: PaneLayout, scored: ScoredBatch, timing: Screening, model_id: str, rows: Ints, place: Ints, into: Ints
) -> None:
    """Add events of a model to rows: ``place`` of each event of the batch."""
    whole, odd = rows[scored.scorable[rows]], rows[timing.late[rows] | _is_odd(scored, rows)]
    if len(whole):
        add_events(layout, scored, scored.pairs.get(model_id, _NO_PAIRS), whole, place, into)
    if len(odd):
        groups = Groups.of(place, odd)
        layout.merge(into, place[groups.firsts], odd_sums(layout, scored, timing, groups))


_FEW = 64
"""Events that are gone through one by one: arrays would take longer."""
_ROOM = 16
"""Names of a pool for each slice of a pane, up to which the pane remembers them by number."""
_NO_PAIRS: Ints = np.zeros((0, 2), dtype=np.int64)


def _is_odd(scored: ScoredBatch, rows: Ints) -> Bools:
    """``(m,)`` events that have no score, or were read leniently."""
    odd: Bools = ~scored.scorable[rows]
    return odd if scored.events.coerced is None else odd | (scored.events.coerced[rows] > 0)


def _histograms(layout: PaneLayout, scored: ScoredBatch, rows: Ints, pane: Ints, n: int) -> Ints:
    """``(n, d, 20)`` PIT values of some events, by the pane of each."""
    bins = scored.pit[rows] + (pane[:, None] * layout.d + np.arange(layout.d)) * PIT_BINS
    missing = scored.missing[rows]
    bins = bins[~missing] if missing.any() else bins.ravel()
    return np.bincount(bins, minlength=n * layout.d * PIT_BINS).reshape(n, layout.d, PIT_BINS)


def _places(pane: Pane, layout: PaneLayout, slices: Coded, rows: Ints) -> Ints:
    """By code the row of each slice that the events have, made where it is new, in the order in which they come."""
    known, place = pane.slices, pane.rows_of(slices)
    if (place < 0).any():
        have = len(known)
        new = _new(place, slices.codes, rows)
        place[new] = np.arange(have, have + len(new))
        known.update(zip([slices.names[code] for code in new], range(have, have + len(new)), strict=True))
        _make_room(pane, layout, have)
    return place


def _new(place: Ints, codes: Ints, rows: Ints) -> list[int]:
    """Codes of the events that have no place, in the order in which they come."""
    if len(rows) <= _FEW:
        return [code for code in dict.fromkeys(codes[rows].tolist()) if place[code] < 0]
    # Of the events of a slice the one that is written last stays: the first.
    first = np.full(len(place), -1, dtype=np.int64)
    first[codes[rows[::-1]]] = rows[::-1]
    new = np.flatnonzero((place < 0) & (first >= 0))
    found: list[int] = new[np.argsort(first[new])].tolist()
    return found


def _make_room(pane: Pane, layout: PaneLayout, have: int) -> None:
    """Blank rows for the slices that are new; memory that nothing was written to costs nothing."""
    need = len(pane.slices)
    if need > len(pane.rows):
        grown = np.zeros((max(2 * need, 16), layout.width), dtype=np.int64)
        if have:
            grown[:have] = pane.rows[:have]
        pane.rows = grown
    layout.clear(pane.rows[have:need])


def _close(panes: OpenPanes, timing: Screening, row: int, pane_ms: int) -> Closing:
    closed, due = int(timing.closed_after_ms[row]), int(timing.due_ms[row])
    done = sorted(start for start in panes if start + pane_ms <= closed)
    early = sum(start + pane_ms > due for start in done)
    return Closing(row, closed, [(start, panes.pop(start)) for start in done], early)
