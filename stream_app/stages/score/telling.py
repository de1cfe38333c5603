"""What became of the rows of a batch, told where too many are bad: incidents as signals, and their points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import DAY_MS, Bools, Ints
from schemas.incidents import Incident
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.outputs import Point
from stream_app.stages.points import incident_point
from stream_app.stages.score.hiding import Hiding
from stream_app.stages.score.intake import JUMP, Bad, Intake, Sample
from stream_app.stages.score.intake_words import incident
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.objects import Objects
from stream_app.stages.score.rejects import Reject
from stream_app.stages.score.renames import Looker, Renames
from stream_app.stages.score.screening import Screening
from stream_app.stages.score.shares import Bets
from stream_app.stages.score.timing import NOTHING

_HOUR_MS = 3_600_000
WAITING_MAX = 128
"""Held events in a row that may be those of a stream that has slept (:mod:`.runs`)."""
STRAYS_TOLD = 8
"""Events in a row that are dated too far ahead: one is a mishap, those of every station are not."""


_PLAIN = ("told_ms", "waiting", "held_ms", "leap_ms", "began_ms")


@dataclass(slots=True)
class Telling:
    """What is remembered of a source partition.

    Attributes:
        intake, renames: the evidence, and keys of bodies.
        told_ms: time of the last point.
        waiting: held events since the last one that was not.
        held_ms: time of the last held event.
        leap_ms: the longest jump so far.
        began_ms: the first time of the partition's clock.
    """

    intake: Intake = field(default_factory=Intake)
    renames: Renames = field(default_factory=Renames)
    told_ms: int = NOTHING
    waiting: int = 0
    held_ms: int = NOTHING
    leap_ms: int = 0
    began_ms: int = NOTHING

    def to_state(self) -> dict[str, Any]:
        """Plain values, for a snapshot."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {"intake": self.intake.to_state(), "renames": self.renames.to_state(), **plain}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Telling:
        """Inverse of :meth:`to_state`."""
        intake, renames = Intake.from_state(state["intake"]), Renames.from_state(state["renames"])
        return cls(**{**state, "intake": intake, "renames": renames})


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch, and what became of it.

    Attributes:
        raw: its n records.
        decoded: those that are events.
        events: those that were judged, m events; some of them may have been held before.
        timing: of the m.
        rejects: of any of them, by row.
        clock_ms: how far event time was before it.
    """

    raw: RawBatch
    decoded: EventBatch
    events: EventBatch
    timing: Screening
    rejects: list[Reject]
    clock_ms: int

    def clocks(self) -> Ints:
        """``(n,)`` how far event time had come after each record, −1 before any event has said it."""
        clock = np.full(len(self.raw), NOTHING, dtype=np.int64)
        clock[:1] = self.clock_ms
        clock[self.events.rows] = self.timing.clock_ms  # which never falls: of several at a record the last counts
        return np.maximum.accumulate(clock)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A message of an incident at a record, by its place in the batch, and its point."""

    row: int
    incident: Incident
    point: Point


class Teller:
    """Tells of the source partitions of a stream; ``objects`` is what makes objects of bodies."""

    def __init__(self, config: Config, objects: Objects = object_of) -> None:
        self._config, self._bets, self._looker = config, Bets(config.event.tolerated), Looker(config, objects)
        self._hiding = Hiding(config.event)

    def tell(self, state: Telling, rows: Rows) -> list[Alarm]:
        """Take the rows of a batch in, and say what is to be told, in the order of its records."""
        raw, clocks = rows.raw, rows.clocks()
        bad = [*self._bad(state, rows), self._looker.look(state.renames, raw, rows.decoded)]
        out = []
        for told in state.intake.take(self._bets, raw.offsets, clocks, bad):
            state.told_ms = max(state.told_ms + 1, int(clocks[told.row]))
            record = incident(self._config, raw.topic, raw.partition, told)
            out.append(Alarm(told.row, record, incident_point(record, state.told_ms)))
        return out

    def _bad(self, state: Telling, rows: Rows) -> Iterator[Bad]:
        timing, events, decoded = rows.timing, rows.events, rows.decoded
        yield from self._rejected(rows)
        yield self._held(state, rows)
        yield self._jumps(state, rows)
        yield self._of("late", events, timing.late, lambda i: "")
        yield self._of("duplicate", events, timing.duplicate, lambda i: self._id(events, i))
        if decoded.coerced is not None:
            index = np.flatnonzero(decoded.coerced > 0)
            yield Bad("coerced", "", decoded.rows[index], lambda i: self._coerced(rows, int(index[i])))

    def _held(self, state: Telling, rows: Rows) -> Bad:
        """Events that show that those which are held were wrong, and held ones of a run too long to be a stream that
        has slept. Many wrong ones at once are told whatever their share.
        """
        timing, at = rows.timing, rows.events.rows
        held = timing.held & (timing.clock_ms != NOTHING)
        if not (held.any() or (timing.strays > 0).any()):  # as in most batches
            state.waiting = 0 if len(at) else state.waiting
            return Bad("held", "", NO_ROWS, _nothing, None, NO_ROWS)
        places = np.arange(len(at))
        waiting = places - np.maximum.accumulate(np.where(held, -1 - state.waiting, places))
        index = np.flatnonzero((timing.strays > 0) | (held & (waiting > WAITING_MAX)))
        of_rows, first = np.unique(at[index], return_index=True)
        before = np.maximum.accumulate(np.concatenate(([-1], np.where(held, places, -1))))
        before_ms = state.held_ms

        def sample(i: int) -> Sample:
            last = int(before[int(index[first[i]]) + 1])
            return Sample(self._config.event.time_field, "", int(timing.time_ms[last]) if last >= 0 else before_ms)

        if len(at):
            state.waiting = int(waiting[-1]) if held[-1] else 0
            state.held_ms = int(timing.time_ms[before[-1]]) if before[-1] >= 0 else before_ms
        return Bad("held", "", of_rows, sample, None, np.unique(at[timing.strays >= STRAYS_TOLD]))

    def _jumps(self, state: Telling, rows: Rows) -> Bad:
        """Events with which a run is believed, told where it is twice as far as any before: a stream may sleep every
        night. None is told before event time has gone on for a pane: where a stream begins, a few events of its setting
        up may lie far before the others.
        """
        told, clock = [], rows.timing.clock_ms
        if state.began_ms == NOTHING:
            known = clock[clock != NOTHING] if rows.clock_ms == NOTHING else np.array([rows.clock_ms])
            state.began_ms = int(known[0]) if len(known) else NOTHING
        for i in np.flatnonzero(rows.timing.leap_ms > self._config.windows.ahead_ms).tolist():
            leap_ms = int(rows.timing.leap_ms[i])
            if int(clock[i]) - leap_ms - state.began_ms < int(self._config.windows.pane):
                continue
            if leap_ms > 2 * state.leap_ms:
                told.append((int(rows.events.rows[i]), _far(int(leap_ms))))
            state.leap_ms = max(state.leap_ms, leap_ms)
        of_rows = np.array([row for row, _ in told], dtype=np.int64)
        return Bad("held", JUMP, of_rows, lambda i: Sample("", told[i][1]), None, of_rows)

    def _of(self, detector: str, events: EventBatch, mask: Bools, detail: Callable[[int], str]) -> Bad:
        """The rows of some events: of several at a row, which were held before, the first."""
        if not mask.any():
            return Bad(detector, "", NO_ROWS, _nothing)
        index = np.flatnonzero(mask)
        at, first = np.unique(events.rows[index], return_index=True)
        name = self._config.event.id_field if detector == "duplicate" else ""

        def sample(i: int) -> Sample:
            event = int(index[first[i]])
            return Sample(name, detail(event), int(events.event_time_ms[event]))

        return Bad(detector, "", at, sample)

    def _id(self, events: EventBatch, event: int) -> str:
        return self._hiding.words(self._config.event.id_field, f"id {events.ids[event]!r}") if events.ids else ""

    def _coerced(self, rows: Rows, event: int) -> Sample:
        name, detail = self._looker.coerced(rows.raw.values[int(rows.decoded.rows[event])])
        return Sample(name, detail, int(rows.decoded.event_time_ms[event]))

    def _rejected(self, rows: Rows) -> Iterator[Bad]:
        reasons: dict[str, dict[int, Reject]] = {}
        for reject in rows.rejects:
            reasons.setdefault(reject.reason, {}).setdefault(reject.row, reject)
        for reason, of_row in reasons.items():
            known = list(of_row.values())
            detector, said = ("unscorable", "") if reason == "unscorable" else ("rejected", reason)
            yield Bad(detector, said, np.array(list(of_row), dtype=np.int64), self._sampler(known))

    def _sampler(self, rejects: list[Reject]) -> Callable[[int], Sample]:
        def sample(i: int) -> Sample:
            one = rejects[i]
            instead = self._looker.instead(one.field, one.value) if one.reason == "missing_time" else ""
            return Sample(one.field, one.detail + instead)

        return sample


NO_ROWS: Ints = np.zeros(0, dtype=np.int64)


def _nothing(i: int) -> Sample:
    raise IndexError(i)


def _far(leap_ms: int) -> str:
    """How far ahead, in the larger of two units that people read at once."""
    return f"{leap_ms / DAY_MS:,.1f} days ahead" if leap_ms >= 2 * DAY_MS else f"{leap_ms / _HOUR_MS:,.1f} hours ahead"
