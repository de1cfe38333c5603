"""Events by their times alone, and what becomes of each of them on one source partition."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flowlib.table import Coded
from stream_app.config import Duration, WindowsConfig
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_362_096_000_000
"""1 March 2013."""
HOURS = WindowsConfig(pane=Duration(HOUR))
"""Panes of an hour, and every default."""


@dataclass(frozen=True, slots=True)
class One:
    """An event: its time, station and id, whether it is as it should be, and the later reading of its time."""

    time_ms: int
    slice: str = "s"
    id: str = ""
    is_honest: bool = True
    later_ms: int = -1


@dataclass(slots=True)
class Judged:
    """What became of events.

    Attributes:
        fate: of each event: ``windowed``, ``late``, ``duplicate``, ``held`` or ``rejected``.
        panes: of each windowed event, its pane.
        closed: how far panes are closed after each.
        strays, leaps: at each event.
        entries: everything that was said, in order.
    """

    state: Timing
    fate: dict[int, str] = field(default_factory=dict)
    panes: dict[int, int] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)
    leaps: list[int] = field(default_factory=list)
    entries: list[tuple[int, ...]] = field(default_factory=list)

    def lost(self, events: Sequence[One]) -> Counter[str]:
        """What became of honest events that are in no pane."""
        return Counter(self.fate[i] for i, one in enumerate(events) if one.is_honest and self.fate[i] != "windowed")


def batch_of(events: Sequence[One], first: int) -> tuple[EventBatch, RawBatch]:
    """Events at the offsets from ``first`` on."""
    n = len(events)
    index, nothing = np.arange(n, dtype=np.int64), np.zeros((n, 1))
    times = np.array([one.time_ms for one in events], dtype=np.int64)
    slices = (Coded.of(one.slice for one in events),)
    later = np.array([max(one.later_ms, one.time_ms) for one in events], dtype=np.int64)
    decoded = EventBatch("t", 0, index, index + first, times, nothing, np.empty((n, 0), object), slices)
    ids = [one.id for one in events] if any(one.id for one in events) else None
    decoded = replace(decoded, ids=ids, later_ms=later)
    return decoded, RawBatch("t", 0, index + first, [b"%d" % (first + i) for i in range(n)])


def judge(
    events: Sequence[One], cuts: Iterable[int] = (), windows: WindowsConfig = HOURS, state: Timing | None = None
) -> Judged:
    """Screen the events in batches that end at the cuts."""
    judged = Judged(Timing() if state is None else state)
    for a, b in itertools.pairwise(sorted({0, len(events), *(c for c in cuts if c < len(events))})):
        decoded, raw = batch_of(events[a:b], a)
        screening = screen(judged.state, windows, decoded, raw)
        offsets = np.array([*decoded.offsets.tolist(), *(one.offset for one in screening.released)])
        for k, offset in enumerate(offsets[screening.source].tolist()):
            flags = {name: bool(getattr(screening, name)[k]) for name in ("held", "duplicate", "late")}
            assert sum(flags.values()) <= 1
            judged.fate[offset] = next((name for name, is_so in flags.items() if is_so), "windowed")
            judged.panes[offset] = int(screening.pane_start_ms[k])
            columns = ("time_ms", "closed_before_ms", "closed_after_ms", "due_ms", "clock_ms", "strays", "leap_ms")
            said = (int(getattr(screening, name)[k]) for name in columns)
            at = a + int(screening.event[k])
            judged.entries.append((at, offset, *flags.values(), *said))
            if at == offset:
                judged.closed.append(int(screening.closed_after_ms[k]))
                judged.strays.append(int(screening.strays[k]))
                judged.leaps.append(int(screening.leap_ms[k]))
        for _, held in screening.given_up:
            judged.fate[held.offset] = "rejected"
    assert sorted(judged.fate) == list(range(len(events)))
    held = [offset for offset, fate in judged.fate.items() if fate == "held"]
    assert sorted(held) == [one.offset for one in judged.state.held]
    return judged


def hourly(days: float, stations: int = 4, start: int = START) -> list[One]:
    """Every station once an hour."""
    hours = range(int(days * 24))
    return [One(start + hour * HOUR, f"station {s}") for hour in hours for s in range(stations)]


def with_bad(events: Sequence[One], bad: Sequence[tuple[int, One]]) -> list[One]:
    """Events with others put before some of them: ``(place, event)``."""
    out: list[One] = []
    waiting = sorted(bad, key=lambda pair: pair[0])
    for place, one in enumerate(events):
        while waiting and waiting[0][0] == place:
            out.append(replace(waiting.pop(0)[1], is_honest=False))
        out.append(one)
    return [*out, *(replace(one, is_honest=False) for _, one in waiting)]
