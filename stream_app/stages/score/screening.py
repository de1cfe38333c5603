"""Event time on one source partition: watermark, far-future screening, duplicates, lateness.

Everything is a function of the rows in order, so it does not matter how they were cut into batches.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Bools, Ints
from stream_app.config import WindowsConfig
from stream_app.stages.batches import EventBatch

NOTHING = -1
"""``newest_ms`` before the first event."""

FUTURE_RUN = 50
"""So many far-future rows in a row are believed: the topic really has jumped."""


@dataclass(slots=True)
class Timing:
    """Event-time state of a source partition."""

    newest_ms: int = NOTHING
    """Newest accepted event time."""
    closed_ms: int = 0
    """Panes that end at or before this are closed."""
    ahead: int = 0
    """Far-future rows in a row, so far."""
    ids: dict[str, int] = field(default_factory=dict)
    """Ids seen in panes that are still open, with their event times."""
    open_ms: list[int] = field(default_factory=list)
    """Starts of the open panes that an event has reached, ascending; a duplicate, whose own time may be another, too.
    
    """

    def to_state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Screening:
    """What the clock of the partition says of each event.

    Attributes:
        pane_start_ms: ``(n,)`` pane of each event.
        future, duplicate, late: ``(n,)`` bool, at most one of them True.
        closed_before_ms, closed_after_ms: ``(n,)`` how far panes are closed before and after each row.
        due_ms: ``(n,)`` how far they would be closed after it by ``windows.lateness`` alone, without a bound on open
            panes.
    """

    pane_start_ms: Ints
    future: Bools
    duplicate: Bools
    late: Bools
    closed_before_ms: Ints
    closed_after_ms: Ints
    due_ms: Ints

    @property
    def wanted(self) -> Bools:
        """``(n,)`` events that are to be scored."""
        return ~(self.future | self.duplicate | self.late)

    @property
    def target_ms(self) -> Ints:
        """``(n,)`` pane that each event goes to; late ones to the oldest open one, so that somebody hears of them."""
        return np.where(self.late, self.closed_after_ms, self.pane_start_ms)


def screen(state: Timing, windows: WindowsConfig, events: EventBatch, record_time_ms: Ints | None) -> Screening:
    """Judge the events in order and move the clock.

    Args:
        state: changed in place.
        windows: pane, lateness, and the bounds.
        events: n events.
        record_time_ms: ``(n,)`` the broker's stamps, or None where there is no broker.
    """
    pane = int(windows.pane)
    times = events.event_time_ms
    starts = times // pane * pane
    future = _far_future(state, times, record_time_ms, int(windows.max_future))
    newest = np.maximum.accumulate(np.where(future, NOTHING, times)) if len(times) else times
    newest = np.maximum(newest, state.newest_ms)
    due = np.maximum((newest - int(windows.lateness)) // pane * pane, 0)
    after = _bound_open_panes(state, starts, future, np.maximum(due, state.closed_ms), windows)
    before = np.concatenate(([state.closed_ms], after[:-1])) if len(after) else after
    duplicate = _duplicates(state, events, future, before)
    late = ~future & ~duplicate & (times < after)
    if len(times):
        state.newest_ms, state.closed_ms = int(newest[-1]), int(after[-1])
        state.ids = {key: time_ms for key, time_ms in state.ids.items() if time_ms >= state.closed_ms}
    return Screening(starts, future, duplicate, late, before, after, due)


def _bound_open_panes(state: Timing, starts: Ints, future: Bools, closed: Ints, windows: WindowsConfig) -> Ints:
    """Where a row would open one pane more than ``windows.max_open_panes``, the oldest of them closes: its own, and the
    row is late, where that is the oldest.

    Args:
        state: its ``open_ms`` is changed in place.
        starts, future: ``(n,)`` pane of each row; rows that open none.
        closed: ``(n,)`` how far panes are closed after each row by lateness; changed in place.

    Returns:
        ``(n,)`` how far panes are closed after each row.
    """
    _, first_rows = np.unique(np.where(future, NOTHING, starts), return_index=True)
    for row in np.sort(first_rows).tolist():  # a pane opens at the first of its rows or not at all
        start, floor = int(starts[row]), int(closed[row])
        if future[row] or start < floor or start in state.open_ms:
            continue
        state.open_ms = [other for other in state.open_ms if other >= floor]
        insort(state.open_ms, start)
        while len(state.open_ms) > windows.max_open_panes:
            closed[row:] = np.maximum(closed[row:], state.open_ms.pop(0) + int(windows.pane))
    if len(closed):
        state.open_ms = [start for start in state.open_ms if start >= int(closed[-1])]
    return closed


def _far_future(state: Timing, times: Ints, record_time_ms: Ints | None, cap_ms: int) -> Bools:
    """Rows further ahead of the newest accepted one than the cap; a long run of them is accepted in the end."""
    future = np.zeros(len(times), dtype=bool)
    if not len(times):
        return future
    start = state.newest_ms
    if start != NOTHING:
        previous = np.concatenate(([start], np.maximum(np.maximum.accumulate(times[:-1]), start)))
        if not np.any(times > previous + cap_ms):  # the common case needs no loop
            state.ahead = 0
            return future
    newest = start
    for i, time_ms in enumerate(times.tolist()):
        limit = newest + cap_ms
        if newest == NOTHING:  # nothing to compare with yet but the broker's own stamp, where there is one
            limit = int(record_time_ms[i]) + cap_ms if record_time_ms is not None else time_ms
        future[i] = time_ms > limit and state.ahead + 1 < FUTURE_RUN
        state.ahead = state.ahead + 1 if future[i] else 0
        newest = newest if future[i] else max(newest, time_ms)
    return future


def _duplicates(state: Timing, events: EventBatch, future: Bools, closed_before: Ints) -> Bools:
    duplicate = np.zeros(len(events), dtype=bool)
    if events.ids is None:
        return duplicate
    for i, key in enumerate(events.ids):
        if future[i] or not key:
            continue
        seen_ms = state.ids.get(key)
        duplicate[i] = seen_ms is not None and seen_ms >= closed_before[i]
        if not duplicate[i]:
            state.ids[key] = int(events.event_time_ms[i])
    return duplicate
