"""Where the events of an incident stand: its examples, and all that was flagged in its slices while it lasted. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from schemas.incidents import Incident, StrangeEvents
from schemas.records import EventAnomaly, IncidentSpan, OffsetRange, Record
from stream_app.config import Config

PLACES_MAX = 2_000
"""Flagged events that are remembered of an incident; of more those whose ids come first, which is any of them."""

WINDOW = 50_000
"""Offsets of a partition that are read for an incident at most: those with most of its events."""

Place = tuple[int, int]
"""Partition and offset on the events topic."""


@dataclass(slots=True)
class Thread:
    """What an incident, or a message about strange events, was about.

    Attributes:
        model_id: that found it.
        examples: events that it has named.
        spans: of its slices, from its beginning to its last message; none of strange events.
    """

    model_id: str
    examples: set[Place] = field(default_factory=set)
    spans: dict[tuple[str, str], IncidentSpan] = field(default_factory=dict)
    _flagged: dict[str, Place] = field(default_factory=dict)

    @property
    def places(self) -> set[Place]:
        """Where its events stand."""
        return self.examples | set(self._flagged.values())

    def add(self, record: Incident | StrangeEvents, topic: str) -> None:
        """Take in a message of it."""
        self.model_id = record.model_id
        named = record.examples if isinstance(record, Incident) else record.events
        self.examples |= {(one.partition, one.offset) for one in named if one.topic == topic}
        for member in record.members if isinstance(record, Incident) else ():
            at, earlier = (member.slicing, member.slice), self.spans.get((member.slicing, member.slice))
            since_ms = min(member.since_ms, earlier.from_ms) if earlier else member.since_ms
            self.spans[at] = IncidentSpan(
                record.id, "burst", member.slicing, [member.slice], since_ms, record.pane_end_ms
            )

    def flagged(self, event: EventAnomaly, first: str) -> None:
        """Take in a flagged event where it may be one of it: of other slicings than the ``first`` its row says."""
        for (slicing, name), span in self.spans.items():
            inside = span.from_ms <= event.event_time_ms < span.to_ms
            if inside and (slicing != first or name == event.slice):
                self._flagged[event.id] = (event.partition, event.offset)
                if len(self._flagged) > 2 * PLACES_MAX:
                    self._flagged = dict(sorted(self._flagged.items())[:PLACES_MAX])
                return


def threads(records: Iterable[Record], ids: set[str], topic: str) -> dict[str, Thread]:
    """What the incidents of these ids are about, as far as the signals tell; of the events topic alone."""
    found: dict[str, Thread] = {}
    for record in records:
        if isinstance(record, Incident | StrangeEvents) and record.id in ids:
            found.setdefault(record.id, Thread(record.model_id)).add(record, topic)
    return found


def take_flagged(records: Iterable[Record], found: dict[str, Thread], config: Config) -> None:
    """Give each incident the events that were flagged in its slices."""
    first = config.slicing_names[0]
    for record in records:
        if isinstance(record, EventAnomaly) and record.topic == config.topics.events:
            for thread in found.values():
                thread.flagged(record, first)


def ranges(places: set[Place], topic: str) -> list[OffsetRange]:
    """Of each partition the :data:`WINDOW` offsets with most of the places, whatever their event time.

    >>> [(one.partition, one.start, one.end) for one in ranges({(0, 5), (0, 7), (0, 900_000), (2, 1)}, "e")]
    [(0, 5, 8), (2, 1, 2)]
    """
    of: dict[int, list[int]] = defaultdict(list)
    for partition, offset in places:
        of[partition].append(offset)
    found = []
    for partition, offsets in sorted(of.items()):
        at = np.sort(np.array(offsets, dtype=np.int64))
        behind = np.searchsorted(at, at + WINDOW)
        first = int(np.argmax(behind - np.arange(len(at))))
        start, end = int(at[first]), int(at[behind[first] - 1]) + 1
        found.append(OffsetRange(topic=topic, partition=partition, start=start, end=end, start_ms=0, end_ms=_EVER_MS))
    return found


_EVER_MS = 253_402_300_799_999  # the last that a record may name
