"""What the stream has told people, read from its topic, and how people name one thing of many: by the first characters
of its id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.incidents import Incident, StrangeEvents
from schemas.intake import TYPES, Refusal, header_map, take_in
from schemas.records import Health, Record
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.incident_lines import newest, oldest
from stream_app.kafka.signals import read_signals

T = TypeVar("T")

_KINDS = {name.encode() for name, kind in TYPES.items() if issubclass(kind, (Incident, StrangeEvents, Health))}
_LISTED_MAX = 10


@dataclass(slots=True)
class Told:
    """What people have been told.

    Attributes:
        incidents: the last message of each incident, by id.
        opened: the first one of each that is still there.
        strange: messages about single events, by id, in order.
        failing: what processes say that fails now, by part.
        newest_ms: end of the last pane that a message is about; 0 where there is none.
    """

    incidents: dict[str, Incident] = field(default_factory=dict)
    opened: dict[str, Incident] = field(default_factory=dict)
    strange: dict[str, StrangeEvents] = field(default_factory=dict)
    failing: dict[str, Health] = field(default_factory=dict)
    newest_ms: int = 0


def read_told(config: Config) -> Told:
    """Read the signals topic; what cannot be used there is passed over, `driftflow signals` shows it.

    Raises:
        Unreachable: there is no broker.
        DriftflowError: there is no such topic, the broker does not answer, or a record cannot be read.
    """
    messages = (one for one in read_signals(config) if header_map(one.headers).get("ce_type") in _KINDS)
    return told_of(take_in("signals", config.stream, one.value, one.headers) for one in messages)


def told_of(records: Iterable[Record | Refusal]) -> Told:
    """What some records have told, in their order; others than those of :class:`Told` are passed over."""
    told, incidents = Told(), list[Incident]()
    for record in records:
        if isinstance(record, Incident):
            incidents.append(record)
        elif isinstance(record, StrangeEvents):
            told.strange[record.id] = record
        elif isinstance(record, Health) and record.state == "failing":
            told.failing[record.part] = record
        elif isinstance(record, Health):
            told.failing.pop(record.part, None)
    told.incidents, told.opened = newest(incidents), oldest(incidents)
    ends = [*(one.pane_end_ms for one in incidents), *(one.pane_end_ms for one in told.strange.values())]
    told.newest_ms = max(ends, default=0)
    return told


def chosen(records: Mapping[str, T], prefix: str, kind: str, words: Callable[[T], str], remedy: str) -> T:
    """The one record whose id begins like this.

    Args:
        records: by id, those to list first being first.
        prefix: as typed.
        kind: what they are, such as ``incident``.
        words: a record in a few words.
        remedy: where to look for more of them.

    Raises:
        DriftflowError: it is none or several of them; the message lists candidates.
    """
    if prefix in records:
        return records[prefix]
    found = [name for name in records if prefix and name.startswith(prefix.lower())]
    if len(found) == 1:
        return records[found[0]]
    listed = found or list(records)
    lines = [f"  {name}  {words(records[name])}" for name in listed[:_LISTED_MAX]]
    if len(listed) > _LISTED_MAX:
        lines.append(f"  … and {len(listed) - _LISTED_MAX:,} more")
    if found:
        head = f"{len(found):,} {kind}s have an id that begins with {prefix!r}: type more of it"
    elif records:
        head = f"no {kind} has an id that begins with {prefix!r} ({remedy}); there are"
    else:
        raise DriftflowError(f"no {kind} has an id that begins with {prefix!r}: there is none ({remedy})")
    raise DriftflowError("\n".join([head, *lines]))
