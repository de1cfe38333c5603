"""Rows judged one after the other: which are late or duplicates, which wait, and how far the clock comes.

The clock of a source partition is the lower median of its last ``windows.clock`` accepted events, so that it takes half
of them to move it. A row votes where it is at most a pane ahead of it, or as far as the last events let expect, where
they are sparse. Rows further ahead go to their panes and have no vote; those beyond ``windows.max_future`` are held.
Rows ahead form a *run* until a row comes that is not; late rows do not end it, they may be a backfill beside it. Those
that are held form one of their own, which any row ends that lies nearer. A run is believed, and moves the clock, where
it has

- 16 rows, more than half of which lie within ``max_future`` of their median, and 8 of which are not the first of their
  slices: one row of each station moves nothing, however many stations there are;
- or 64 rows in order of time, 8 of which are not the first of their slices or which span more than ``max_future``: a
  stream that has become sparse, even where every event is a slice of its own;
- or 512 rows, or 2 MiB, whatever they are: nothing waits for ever.

Held events are judged again at the row that brings the clock near them. Before there is a clock, every event is held:
the first 16 wait for one another, and those that are far from their median are outvoted.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from stream_app.config import WindowsConfig
from stream_app.stages.score.event_time import expected_ms, nearer
from stream_app.stages.score.runs import HELD_BYTES_MAX, HELD_MAX, Run
from stream_app.stages.score.timing import NOTHING, Held, Timing

QUARTERS = 8
"""So many times what a quarter of the last events span may lie between two events of a stream."""
HALVES = 4
"""So many times what half of them span."""
_TIME = attrgetter("time_ms")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a source partition as plain lists of length n.

    Attributes:
        times, offsets: of each event.
        later: the later of the two readings of each time, where it has two; None where no time of the batch has.
        ids: event ids; None without an id field.
        slice: a row's first slice.
        body: a row's bytes.
    """

    times: list[int]
    offsets: list[int]
    later: list[int] | None
    ids: list[str] | None
    slice: Callable[[int], str]
    body: Callable[[int], bytes]


class Verdict(NamedTuple):
    """What is said of a row when it comes, or of a held event when it is judged again.

    Attributes:
        source: the row; of held events n plus the number in :attr:`Judge.released`.
        row: the row at which it is judged.
        time_ms: its time, whichever reading is taken.
        before_ms, after_ms, due_ms: how far panes are closed before and after it, and would be by lateness alone.
        clock_ms: the clock after it.
        strays: held events that this row shows to be wrong: it is where the clock is, they were not.
        leap_ms: how far a believed run has moved the clock at it; 0 where no two events lie half as far apart, nor
            ``max_future``: they have only become few, which the clock lags behind.
    """

    source: int
    row: int
    time_ms: int
    held: bool
    duplicate: bool
    late: bool
    before_ms: int
    after_ms: int
    due_ms: int
    clock_ms: int
    strays: int
    leap_ms: int


class Judge:
    """Judges the rows of a batch.

    Args:
        state: changed in place.
        windows: the settings.
        rows: the batch.

    Attributes:
        verdicts: in order; held events that a row releases come before it.
        released: held events that have been judged again.
        given_up: ``(row, event)`` held events for which there is no room any more.
    """

    def __init__(self, state: Timing, windows: WindowsConfig, rows: Rows) -> None:
        self._state, self._rows = state, rows
        self._near, self._far = Run(state.near), Run(state.far)
        self._pane_ms, self._lateness_ms = int(windows.pane), int(windows.lateness)
        self._ahead_ms, self._votes_max, self._open_max = windows.ahead_ms, windows.clock, windows.max_open_panes
        self._sorted = sorted(state.votes)
        self._held_bytes = sum(len(one.value) for one in state.held)
        self._lowest_ms = min((one.time_ms for one in state.held), default=0)
        self._near_ms = self._far_ms = self._due_ms = 0
        self.verdicts: list[Verdict] = []
        self.released: list[Held] = []
        self.given_up: list[tuple[int, Held]] = []
        if state.clock_ms != NOTHING:
            self._set_limits()

    def judge(self) -> None:
        """Judge all rows."""
        state, rows = self._state, self._rows
        for i, time_ms in enumerate(rows.times):
            key = "" if rows.ids is None else rows.ids[i]
            if rows.later is not None and rows.later[i] != time_ms:
                time_ms = self._read(time_ms, rows.later[i])
            if state.clock_ms == NOTHING:
                self._wait(i, time_ms, key)
            elif time_ms > self._near_ms:
                self._take_ahead(i, time_ms, key)
            elif self._is_news(time_ms, key):
                self._vote(time_ms)
                strays = self._end_runs(i) if state.near or state.far else 0
                if state.held and self._lowest_ms <= self._near_ms:
                    self._release(i)
                self._enter(i, i, time_ms, key, True, strays)
            else:
                self._enter(i, i, time_ms, key, False)

    # The clock -----------------------------------------------------------------------------------------------------

    def _vote(self, time_ms: int) -> None:
        votes, ordered = self._state.votes, self._sorted
        votes.append(time_ms)
        insort(ordered, time_ms)
        while len(votes) > self._votes_max:
            del ordered[bisect_left(ordered, votes.pop(0))]
        self._set_limits()

    def _set_votes(self, votes: list[int]) -> None:
        self._state.votes, self._sorted = votes, sorted(votes)
        self._set_limits()

    def _set_limits(self) -> None:
        """The clock by the votes, and what follows from it."""
        state, ordered = self._state, self._sorted
        last = len(ordered) - 1
        median, low, lowest = ordered[last // 2], ordered[last // 4], ordered[0]
        clock = state.clock_ms = max(state.clock_ms, median)
        self._due_ms = max((clock - self._lateness_ms) // self._pane_ms * self._pane_ms, 0)
        sparse = max(QUARTERS * (median - low), HALVES * (median - lowest - self._lateness_ms - self._pane_ms))
        self._near_ms = clock + max(self._ahead_ms if self._votes_max == 1 else self._pane_ms, sparse)
        self._far_ms = max(clock + self._ahead_ms, self._near_ms)

    def _read(self, time_ms: int, later_ms: int) -> int:
        """Which of the two readings of a local time is nearer to where the next event is expected."""
        before = self._state.votes or [one.time_ms for one in self._state.held]
        return nearer(time_ms, later_ms, expected_ms(before)) if before else time_ms

    def _is_news(self, time_ms: int, key: str) -> bool:
        closed = self._state.closed_ms
        if key and self._state.ids.get(key, NOTHING) >= closed:
            return False
        return time_ms // self._pane_ms * self._pane_ms >= closed

    # Rows enter their panes ----------------------------------------------------------------------------------------

    def _enter(
        self, source: int, row: int, time_ms: int, key: str, closes: bool, strays: int = 0, leap_ms: int = 0
    ) -> None:
        """A row goes to its pane, or is late or a duplicate. No row closes its own pane: the next one does."""
        state, start = self._state, time_ms // self._pane_ms * self._pane_ms
        before = state.closed_ms
        duplicate = bool(key) and state.ids.get(key, NOTHING) >= before
        if closes:
            state.closed_ms = max(before, min(self._due_ms, start))
        if not duplicate and start >= state.closed_ms:
            self._open(start)
        late = not duplicate and start < state.closed_ms
        if not duplicate and not late:
            state.newest_ms = max(state.newest_ms, time_ms)
            if key:
                state.ids.pop(key, None)  # the order of keys must not depend on when closed panes were forgotten
                state.ids[key] = time_ms
        limits = state.closed_ms, self._due_ms, state.clock_ms
        self.verdicts.append(Verdict(source, row, time_ms, False, duplicate, late, before, *limits, strays, leap_ms))

    def _open(self, start: int) -> None:
        """The oldest of more open panes than there may be closes; the row is late where that is its own."""
        state = self._state
        if start in state.open_ms:
            return
        state.open_ms = [other for other in state.open_ms if other >= state.closed_ms]
        insort(state.open_ms, start)
        while len(state.open_ms) > self._open_max:
            state.closed_ms = max(state.closed_ms, state.open_ms.pop(0) + self._pane_ms)

    def _keep(self, i: int, time_ms: int, before_ms: int, strays: int = 0, leap_ms: int = 0) -> None:
        """Say that a row is held."""
        limits = before_ms, self._state.closed_ms, self._due_ms, self._state.clock_ms
        self.verdicts.append(Verdict(i, i, time_ms, True, False, False, *limits, strays, leap_ms))

    # Rows ahead ----------------------------------------------------------------------------------------------------

    def _take_ahead(self, i: int, time_ms: int, key: str) -> None:
        rows, state = self._rows, self._state
        is_far = time_ms > self._far_ms
        held, strays = is_far or self._is_crowded(time_ms), 0 if is_far else self._end_far(i)
        run = self._far if is_far else self._near
        if is_far and not state.far:
            state.far_from = rows.offsets[i]
        run.join(time_ms, rows.slice(i), key, rows.body(i), held)
        if held:
            self._hold(i, time_ms, key)
        believed = run.believed(self._far_ms - state.clock_ms)
        if believed:
            self._leap(i, time_ms, key, held, believed, strays)
        elif held:
            self._keep(i, time_ms, state.closed_ms, strays)
            self._give_up(i)
        else:
            self._enter(i, i, time_ms, key, False, strays)

    def _is_crowded(self, time_ms: int) -> bool:
        """Whether a pane ahead would take the room that panes around the clock need."""
        opened = [start for start in self._state.open_ms if start >= self._state.closed_ms]
        return len(opened) >= max(self._open_max // 2, 1) and time_ms // self._pane_ms * self._pane_ms not in opened

    def _leap(self, i: int, time_ms: int, key: str, held: bool, believed: list[int], strays: int) -> None:
        """Move the clock to a believed run, whose rows are judged again as if it had always been there."""
        state, before_ms = self._state, self._state.clock_ms
        known = (*state.votes, *state.open_ms, *(one.time_ms for one in state.held))
        times = sorted([before_ms, *believed, *(one for one in known if before_ms < one < max(believed))])
        longest_ms = max(later - one for one, later in pairwise(times))
        self._set_votes([*state.votes, *believed][-min(self._votes_max, 2 * len(believed) - 1) :])
        self._near.clear()
        self._far.clear()
        leap_ms = state.clock_ms - before_ms
        self._settle(i, time_ms, key, held, strays, leap_ms if longest_ms >= min(leap_ms // 2, self._ahead_ms) else 0)

    def _settle(self, i: int, time_ms: int, key: str, held: bool, strays: int, leap_ms: int) -> None:
        """A row after which the clock stands elsewhere: what it releases, itself, and what there is no room for."""
        state = self._state
        own = state.held.pop() if held else None
        self._release(i)
        if own is not None and time_ms > self._near_ms:
            state.held.append(own)
            self._lowest_ms = min(one.time_ms for one in state.held)
            before_ms, state.closed_ms = state.closed_ms, max(state.closed_ms, self._due_ms)
            self._keep(i, time_ms, before_ms, strays, leap_ms)
        else:
            self._held_bytes -= len(own.value) if own is not None else 0
            self._enter(i, i, time_ms, key, True, strays, leap_ms)
        self._give_up(i)

    # Held events ---------------------------------------------------------------------------------------------------

    def _wait(self, i: int, time_ms: int, key: str) -> None:
        """Before there is a clock."""
        self._hold(i, time_ms, key)
        if len(self._state.held) < self._votes_max and self._held_bytes <= HELD_BYTES_MAX // 2:
            self._keep(i, time_ms, self._state.closed_ms)
        else:
            self._begin(i, time_ms, key)

    def _begin(self, i: int, time_ms: int, key: str) -> None:
        """Set the clock by the first events: those near their median vote, those far behind it are late."""
        state = self._state
        ordered = sorted(one.time_ms for one in state.held)
        middle = (len(ordered) - 1) // 2
        median = ordered[middle]
        width = max(self._pane_ms, QUARTERS * sorted(abs(one - median) for one in ordered)[middle])
        voting = [one for one in state.held if abs(one.time_ms - median) <= width]
        self._set_votes([one.time_ms for one in voting][-self._votes_max :])
        lowest = median - max(self._ahead_ms, QUARTERS * (median - ordered[middle // 2]))
        first = next(one for one in ordered if one >= lowest)
        state.closed_ms = min(first // self._pane_ms * self._pane_ms, self._due_ms)
        ahead = [one for one in state.held if one.time_ms > self._near_ms]
        for one in (last := [one for one in ahead if one.offset > voting[-1].offset]):
            is_far = one.time_ms > self._far_ms
            if is_far and not state.far:
                state.far_from = one.offset
            (self._far if is_far else self._near).join(one.time_ms, one.slice, one.id, one.value, True)
        first_verdict = len(self.verdicts)
        self._settle(i, time_ms, key, True, len(ahead) - len(last), 0)
        self.verdicts[first_verdict] = self.verdicts[first_verdict]._replace(before_ms=0)

    def _hold(self, i: int, time_ms: int, key: str) -> None:
        held, value = self._state.held, self._rows.body(i)
        self._lowest_ms = min(self._lowest_ms, time_ms) if held else time_ms
        self._held_bytes += len(value)
        held.append(Held(self._rows.offsets[i], value, time_ms, key, self._rows.slice(i)))

    def _release(self, i: int) -> None:
        """Held events that the clock has come near to, judged in order of offset, before the row that brought it."""
        state = self._state
        due = [one for one in state.held if one.time_ms <= self._near_ms]
        if not due:
            return
        state.held = [one for one in state.held if one.time_ms > self._near_ms]
        self._lowest_ms = min((one.time_ms for one in state.held), default=0)
        for one in due:
            self._held_bytes -= len(one.value)
            self.released.append(one)
            self._enter(len(self._rows.times) + len(self.released) - 1, i, one.time_ms, one.id, False)

    def _strays(self) -> list[Held]:
        """The held events of the run beyond ``max_future``."""
        state, n = self._state, 0
        while state.far and n < len(state.held) and state.held[-1 - n].offset >= state.far_from:
            n += 1
        return state.held[len(state.held) - n :]

    def _end_far(self, i: int) -> int:
        """A row nearer to the clock: those beyond ``max_future`` were wrong. Returns how many they are."""
        if not self._state.far:
            return 0
        strays = len(self._strays())
        self._far.clear()
        self._give_up(i)
        return strays

    def _end_runs(self, i: int) -> int:
        """A row where the clock is: those ahead of it were wrong. Returns how many are held."""
        self._near.clear()
        return self._end_far(i)

    def _give_up(self, i: int) -> None:
        """Make room: for a run, and within one where the same event comes again and again."""
        held, parts = self._state.held, 1 if self._state.far else 2
        while len(held) > HELD_MAX // parts or self._held_bytes > HELD_BYTES_MAX // parts:
            furthest = max(held, key=_TIME)
            held.remove(furthest)
            self._held_bytes -= len(furthest.value)
            self.given_up.append((i, furthest))
