"""Event time on one source partition: the clock, events that wait, duplicates, lateness.

Everything is a function of the rows in order, so it does not matter how they were cut into batches. Batches in which
every row is on time and new are judged at once; others row by row (:mod:`.holding`), to the same result.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from flowlib.table import Bools, Ints
from stream_app.config import WindowsConfig
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.holding import HALVES, QUARTERS, Judge, Rows, Verdict
from stream_app.stages.score.timing import NOTHING, Held, Timing


@dataclass(frozen=True, slots=True)
class Screening:
    """What the clock of the partition says of m events: the n of the batch, and those that waited and are judged again.

    These stand before the event that brought the clock near them.

    Attributes:
        source: ``(m,)`` which of the batch's events it is; n and beyond: which of ``released``.
        event: ``(m,)`` the event of the batch at which it is judged.
        time_ms: ``(m,)`` its time.
        pane_start_ms: ``(m,)`` its pane.
        held, duplicate, late: ``(m,)`` bool, at most one of them True. Held events wait, and are judged again later.
        closed_before_ms, closed_after_ms: ``(m,)`` how far panes are closed before and after each.
        due_ms: ``(m,)`` how far they would be closed after it by ``windows.lateness`` alone, without a bound on open
            panes.
        clock_ms: ``(m,)`` the clock after each, −1 before there is one.
        strays: ``(m,)`` held events that each shows to be wrong: it is where the clock is, and they came before it.
        leap_ms: ``(m,)`` how far the clock has moved at each because many events in a row, which were ahead of it, say
            the same: the stream has slept so long. Else, and where events have only become few, 0.
        released: events that were held and are judged again.
        given_up: ``(event, held)``: held ones that there is no room for any more, at an event of the batch.
    """

    source: Ints
    event: Ints
    time_ms: Ints
    pane_start_ms: Ints
    held: Bools
    duplicate: Bools
    late: Bools
    closed_before_ms: Ints
    closed_after_ms: Ints
    due_ms: Ints
    clock_ms: Ints
    strays: Ints
    leap_ms: Ints
    released: list[Held]
    given_up: list[tuple[int, Held]]

    @property
    def wanted(self) -> Bools:
        """``(m,)`` events that are to be scored."""
        return ~(self.held | self.duplicate | self.late)

    @property
    def again(self) -> Bools:
        """``(m,)`` events that were held and are judged again."""
        return np.asarray(self.source != self.event)

    @property
    def target_ms(self) -> Ints:
        """``(m,)`` pane that each event goes to; late ones to the oldest open one, so that somebody hears of them."""
        return np.where(self.late, self.closed_after_ms, self.pane_start_ms)


def screen(state: Timing, windows: WindowsConfig, events: EventBatch, raw: RawBatch) -> Screening:
    """Judge the events in order and move the clock.

    Args:
        state: changed in place.
        windows: pane, lateness, and the bounds.
        events: n events.
        raw: what they were decoded from.
    """
    screening = _at_once(state, windows, events) or _row_by_row(state, windows, events, raw)
    state.ids = {key: time_ms for key, time_ms in state.ids.items() if time_ms >= state.closed_ms}
    state.open_ms = [start for start in state.open_ms if start >= state.closed_ms]
    return screening


def _at_once(state: Timing, windows: WindowsConfig, events: EventBatch) -> Screening | None:
    """The screening of a batch in which every event is on time and new; None for any other, nothing is changed then."""
    times, n, size, pane = events.event_time_ms, len(events), windows.clock, int(windows.pane)
    if not n or state.near or state.far or len(state.votes) != size or state.clock_ms == NOTHING or _read_twice(events):
        return None
    seen = np.concatenate((np.array(state.votes, dtype=np.int64), times))
    clock, near = _clocks(state, windows, seen)
    if np.any(times > near[:-1]) or (state.held and min(one.time_ms for one in state.held) <= near[1:].max()):
        return None
    starts = _starts(times, pane)
    due = np.maximum(_starts(clock[1:] - int(windows.lateness), pane), 0)
    after = np.maximum(np.maximum.accumulate(np.minimum(due, starts)), state.closed_ms)
    before = np.concatenate(([state.closed_ms], after[:-1]))
    if np.any(starts < before) or _has_duplicates(state, events):
        return None
    opened = _opened(state, windows, starts, after)
    if opened is None:
        return None
    state.votes, state.clock_ms, state.closed_ms, state.open_ms = (
        seen[-size:].tolist(),
        int(clock[-1]),
        int(after[-1]),
        opened,
    )
    state.newest_ms = max(state.newest_ms, int(times.max()))
    if events.ids is not None:
        state.ids.update((key, time_ms) for key, time_ms in zip(events.ids, times.tolist(), strict=True) if key)
    no, zero, index = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.int64)
    return Screening(index, index, times, starts, no, no, no, before, after, due, clock[1:], zero, zero, [], [])


_FEW = 16


def _starts(times: Ints, pane_ms: int) -> Ints:
    """Start of the pane of each time; of few panes, as in most batches, without a division for each."""
    first, last = int(times.min()) // pane_ms, int(times.max()) // pane_ms
    if last - first > _FEW:
        return times // pane_ms * pane_ms
    starts = np.full(len(times), first * pane_ms)
    for number in range(first + 1, last + 1):
        starts[times >= number * pane_ms] = number * pane_ms
    return starts


def _clocks(state: Timing, windows: WindowsConfig, seen: Ints) -> tuple[Ints, Ints]:
    """``(n + 1,)`` clock before each event and after the last, and up to when an event would vote then."""
    size = windows.clock
    last = size - 1
    places, n = (last // 2, last // 4, 0), len(seen) - last
    if np.any(seen[1:] < seen[:-1]):
        votes = np.sort(sliding_window_view(seen, size), axis=1)
        median, low, lowest = (votes[:, place] for place in places)
    else:
        median, low, lowest = (seen[place : place + n] for place in places)
    clock = np.maximum(np.maximum.accumulate(median), state.clock_ms)
    idle = HALVES * (median - lowest - int(windows.lateness) - int(windows.pane))
    sparse = np.maximum(QUARTERS * (median - low), idle)
    return clock, clock + np.maximum(windows.ahead_ms if size == 1 else int(windows.pane), sparse)


def _read_twice(events: EventBatch) -> bool:
    """Whether the time of an event has two readings."""
    return events.later_ms is not None and bool(np.any(events.later_ms != events.event_time_ms))


def _has_duplicates(state: Timing, events: EventBatch) -> bool:
    if events.ids is None:
        return False
    ids = [key for key in events.ids if key]
    return len(set(ids)) < len(ids) or not state.ids.keys().isdisjoint(ids)


def _opened(state: Timing, windows: WindowsConfig, starts: Ints, closed: Ints) -> list[int] | None:
    """Starts of the open panes after the events; None where at any time there would be too many.

    Args:
        state: before them.
        windows: their bound.
        starts, closed: ``(n,)`` pane of each event; how far panes are closed after it.
    """
    opened = list(state.open_ms)
    runs = np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1])))
    first_rows = runs if len(runs) <= _FEW else np.sort(np.unique(starts, return_index=True)[1])
    for row in first_rows.tolist():  # a pane opens at the first of its rows
        start = int(starts[row])
        if start not in opened:
            opened = [other for other in opened if other >= closed[row]]
            insort(opened, start)
            if len(opened) > windows.max_open_panes:
                return None
    return opened


def _columns(verdicts: list[Verdict]) -> Ints:
    """``(12, m)``, a row for each field."""
    flat = np.fromiter(chain.from_iterable(verdicts), dtype=np.int64, count=len(verdicts) * len(Verdict._fields))
    return np.ascontiguousarray(flat.reshape(-1, len(Verdict._fields)).T)


def _row_by_row(state: Timing, windows: WindowsConfig, events: EventBatch, raw: RawBatch) -> Screening:
    twice = _read_twice(events) and events.later_ms is not None
    places = events.rows.tolist()
    rows = Rows(
        events.event_time_ms.tolist(),
        events.offsets.tolist(),
        events.later_ms.tolist() if twice and events.later_ms is not None else None,
        events.ids,
        lambda i: str(events.slices[0][i]),
        lambda i: raw.values[places[i]] or b"",
    )
    judge = Judge(state, windows, rows)
    judge.judge()
    columns = dict(zip(Verdict._fields, _columns(judge.verdicts), strict=True))
    held, duplicate, late = (columns[name].astype(bool) for name in ("held", "duplicate", "late"))
    times = columns["time_ms"]
    return Screening(
        columns["source"],
        columns["row"],
        times,
        times // int(windows.pane) * int(windows.pane),
        held,
        duplicate,
        late,
        columns["before_ms"],
        columns["after_ms"],
        columns["due_ms"],
        columns["clock_ms"],
        columns["strays"],
        columns["leap_ms"],
        judge.released,
        judge.given_up,
    )
