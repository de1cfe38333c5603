"""What a store knows of a week: incidents as they stood at its end, what people said, models, and counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from schemas.incidents import Action, Incident, StrangeEvents
from schemas.names import slicing_name
from stream_app.config import Config
from stream_app.console.queries import Points
from stream_app.console.threads import ENDED, places
from stream_app.errors import DriftflowError
from stream_app.incident_causes import together
from stream_app.reporting.weekly.counts import WHOLE, Counted, Trouble, counted
from stream_app.reporting.weekly.days import Week

_R = TypeVar("_R")
_BETWEEN = """
SELECT time_ms, tags, fields FROM others WHERE measurement = ? AND time_ms > ? AND time_ms <= ? ORDER BY time_ms
"""
_LAST = "SELECT max(time_ms) FROM windows"
_MODEL = "SELECT tags, fields FROM others WHERE measurement = 'activations' AND time_ms <= ? ORDER BY time_ms DESC"


class Row(msgspec.Struct):
    """A point of the store that is told of, with what it has of these."""

    stream: str
    record: str = ""
    model_id: str = ""
    status: str = ""
    reason: str = ""
    verb: str = ""
    by: str = ""
    why: str = ""
    part: str = ""
    state: str = ""
    says: str = ""


@dataclass(frozen=True)
class Thread:
    """An incident as it stood at the end of a week.

    Attributes:
        last: its last message until then.
        told_ms: when people were told first.
        is_silenced: whether a silence keeps it from them.
    """

    last: Incident
    told_ms: int
    is_silenced: bool

    @property
    def is_open(self) -> bool:
        """Whether it was still going on."""
        return self.last.state not in ENDED


@dataclass(frozen=True)
class Gathered:
    """A week.

    Attributes:
        stream: its name.
        week: which.
        threads: incidents that were going on, the gravest first.
        before: those that people were told of in the week before.
        strange: messages about single strange events.
        actions: what people said, in order.
        models: what was decided of models, in order.
        changes: other changes of the model in service, in order.
        model_id: in service at its end; "" for none.
        failures: what failed in a process, in order.
        counts: of the week.
        counts_before: of the one before; None where the store has not all of both.
    """

    stream: str
    week: Week
    threads: Sequence[Thread]
    before: Sequence[Thread]
    strange: Sequence[StrangeEvents]
    actions: Sequence[Action]
    models: Sequence[Row]
    changes: Sequence[Row]
    model_id: str
    failures: Sequence[Row]
    counts: Counted
    counts_before: Counted | None


def gathered(config: Config, link: sqlite3.Connection, day: str) -> Gathered:
    """Everything about a week.

    Args:
        config: the stream.
        link: an open store.
        day: the last day of the week; "" for the newest whole one that the store has.

    Raises:
        DriftflowError: the day is no date, or the store has nothing of that week.
        sqlite3.Error: the store cannot be read.
    """
    points = Points(link, config.stream)
    newest = link.execute(_LAST).fetchone()[0]
    if newest is None:
        raise DriftflowError("the store has no windows yet: there is nothing to report before the first pane is closed")
    week = Week.ending_with(day) if day else Week.newest(newest)
    threads, before = _threads(points, week), _threads(points, week.before)
    slicings = [slicing_name(fields) for fields in config.event.slicings]
    counts, counts_before = (
        counted(link, config.stream, slicings, of, [_trouble(one) for one in told])
        for of, told in ((week, threads), (week.before, before))
    )
    if not counts.events and not threads:
        raise DriftflowError(f"the store has no event of {config.stream} in the week of {week.says}: see --week")
    return Gathered(
        config.stream,
        week,
        sorted(threads, key=_gravest),
        [one for one in before if week.before.has(one.told_ms)],
        list(_records(link, config.stream, "strange_events", week, StrangeEvents)),
        list(_records(link, config.stream, "actions", week, Action)),
        _rows(link, config.stream, "models", week),
        _rows(link, config.stream, "service", week),
        _in_service(link, config.stream, week),
        [row for row in _rows(link, config.stream, "health", week) if row.state == "failing"],
        counts,
        counts_before if min(counts.kept, counts_before.kept) >= WHOLE and counts_before.events else None,
    )


def _threads(points: Points, week: Week) -> list[Thread]:
    """Incidents that were going on at some time in a week."""
    found = []
    for head in points.heads():
        record: Incident = head["record"]
        if record.opened_pane_ms >= week.to_ms or (record.state in ENDED and record.pane_end_ms <= week.from_ms):
            continue
        messages = points.thread(record.id)
        until = [row for row in messages if row["record"].pane_end_ms <= week.to_ms]
        if until:
            is_silenced = all(row["silenced"] == "1" for row in until)
            found.append(Thread(until[-1]["record"], until[0]["record"].pane_end_ms, is_silenced))
    return _by_cause(found)


def _by_cause(threads: Sequence[Thread]) -> list[Thread]:
    """With those of one cause as one (:func:`~stream_app.incident_causes.together`)."""
    known = {thread.last.id: thread for thread in threads}
    found = together((thread.last for thread in threads), members=False)
    return [replace(known[last.id], last=last) for last in found]


def _gravest(thread: Thread) -> tuple[bool, int, int, str]:
    last = thread.last
    return not thread.is_open, ("critical", "warning", "info").index(last.severity), last.since_ms, last.id


def _trouble(thread: Thread) -> Trouble:
    last = thread.last
    named = last.member_count == len(last.members) and all(member.slicing for member in last.members)
    where = places(last) if named else []
    return Trouble(last.since_ms, 2**53 if thread.is_open else last.pane_end_ms, frozenset(where))


def _points(link: sqlite3.Connection, stream: str, measurement: str, week: Week) -> Iterator[Row]:
    for _, tags, fields in link.execute(_BETWEEN, (measurement, week.from_ms, week.to_ms)):
        row = _row(tags, fields)
        if row is not None and row.stream == stream:
            yield row


def _rows(link: sqlite3.Connection, stream: str, measurement: str, week: Week) -> list[Row]:
    return list(_points(link, stream, measurement, week))


def _row(tags: object, fields: object) -> Row | None:
    """A point; None where it is damaged, as others may write the file too."""
    try:
        told = {**msgspec.json.decode(str(fields)), **msgspec.json.decode(str(tags))}
        return msgspec.convert(told, Row)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError):
        return None


def _records(link: sqlite3.Connection, stream: str, measurement: str, week: Week, kind: type[_R]) -> Iterator[_R]:
    for row in _points(link, stream, measurement, week):
        try:
            yield msgspec.json.decode(row.record, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue


def _in_service(link: sqlite3.Connection, stream: str, week: Week) -> str:
    """The model of the newest activation until the end of a week."""
    rows = (_row(tags, fields) for tags, fields in link.execute(_MODEL, (week.to_ms,)))
    return next((row.model_id for row in rows if row is not None and row.stream == stream), "")
