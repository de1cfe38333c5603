"""Event time on one source partition: watermark, far-future screening, duplicates, lateness.

Everything is a function of the rows in order, so it does not matter how they were cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    closed_ms: int = 0
    """Panes that end at or before this are closed."""
    ahead: int = 0
    ids: dict[str, int] = field(default_factory=dict)
    """Ids seen in panes that are still open, with their event times."""

    def to_state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {"newest_ms": self.newest_ms, "closed_ms": self.closed_ms, "ahead": self.ahead, "ids": self.ids}


@dataclass(frozen=True, slots=True)
class Screening:
    """What the clock of the partition says of each event.

    Attributes:
        future, duplicate, late: ``(n,)`` bool, at most one of them True.
        closed_before_ms, closed_after_ms: ``(n,)`` how far panes are closed before and after each row.
    """

    future: Bools
    duplicate: Bools
    late: Bools
    closed_before_ms: Ints
    closed_after_ms: Ints


def screen(state: Timing, windows: WindowsConfig, events: EventBatch, record_time_ms: Ints | None) -> Screening:
    """Judge the events in order and move the clock."""
    times = events.event_time_ms
    future = _far_future(state, times, record_time_ms, int(windows.max_future))
    newest = np.maximum.accumulate(np.where(future, NOTHING, times)) if len(times) else times
    newest = np.maximum(newest, state.newest_ms)
    after = np.maximum(_closed(newest, windows), state.closed_ms)
    before = np.concatenate(([state.closed_ms], after[:-1])) if len(after) else after
    duplicate = _duplicates(state, events, future, before)
    late = ~future & ~duplicate & (times < before)
    if len(times):
        state.newest_ms, state.closed_ms = int(newest[-1]), int(after[-1])
        state.ids = {key: at for key, at in state.ids.items() if at >= state.closed_ms}
    return Screening(future, duplicate, late, before, after)


def _closed(newest: Ints, windows: WindowsConfig) -> Ints:
    pane = int(windows.pane)
    return np.maximum((newest - int(windows.lateness)) // pane * pane, 0)


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
    for i, at in enumerate(times.tolist()):
        limit = newest + cap_ms
        if newest == NOTHING:  # nothing to compare with yet but the broker's own stamp, where there is one
            limit = int(record_time_ms[i]) + cap_ms if record_time_ms is not None else at
        future[i] = at > limit and state.ahead + 1 < FUTURE_RUN
        state.ahead = state.ahead + 1 if future[i] else 0
        newest = newest if future[i] else max(newest, at)
    return future


def _duplicates(state: Timing, events: EventBatch, future: Bools, closed_before: Ints) -> Bools:
    duplicate = np.zeros(len(events), dtype=bool)
    if events.ids is None:
        return duplicate
    for i, key in enumerate(events.ids):
        if future[i] or not key:
            continue
        at = state.ids.get(key)
        duplicate[i] = at is not None and at >= closed_before[i]
        if at is None or at < closed_before[i]:
            state.ids[key] = int(events.event_time_ms[i])
    return duplicate
