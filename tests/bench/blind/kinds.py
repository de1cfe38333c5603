"""What can be wrong with input, each kind as a function that spoils the honest stream from some event on."""

from __future__ import annotations

import gzip
import struct
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.bench.blind.stream import FEATURES, STATIONS, ZONE, Event, local_stamp
from tests.bench.detect.streams import HOUR_MS

DAY_MS = 24 * HOUR_MS
FROM = 0.4
"""Share of the stream that is left as it is."""


@dataclass(frozen=True)
class Sent:
    """A message on the events topic.

    Attributes:
        value: its body.
        honest: whether it must be counted in its pane whatever happens around it. A spoilt one that can be read right
            is honest too.
        bad: whether something is wrong with it.
    """

    value: bytes | None
    honest: bool = True
    bad: bool = False


Rng = np.random.Generator
Spoil = Callable[[list[Event], float, Rng], Iterator[Sent]]


@dataclass(frozen=True)
class Kind:
    """A kind of bad input.

    Attributes:
        name: in the result.
        spoil: ``(events, share, rng)`` to what is sent.
        shares: of the events from :data:`FROM` on that are bad.
        channels: detectors of which one must say it; none where it is read right and there is nothing to say.
        event: settings of the event section that it needs.
    """

    name: str
    spoil: Spoil
    shares: tuple[float, ...]
    channels: tuple[str, ...] = ()
    event: dict[str, Any] = field(default_factory=dict)


def _each(bad: Callable[[Event, Rng], bytes | None], readable: bool = False) -> Spoil:
    """A share of the events is sent in another form."""

    def spoil(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
        first = int(len(events) * FROM)
        for n, event in enumerate(events):
            if n >= first and rng.random() < share:
                yield Sent(bad(event, rng), honest=readable, bad=True)
            else:
                yield Sent(event.body())

    return spoil


def _between(extra: Callable[[Event, Rng], Iterator[bytes]]) -> Spoil:
    """Every event is sent as it is; after a share of them come others that are bad."""

    def spoil(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
        first = int(len(events) * FROM)
        for n, event in enumerate(events):
            yield Sent(event.body())
            if n >= first and rng.random() < share:
                yield from (Sent(value, honest=False, bad=True) for value in extra(event, rng))

    return spoil


def _once(extra: Callable[[list[Event], int], list[bytes]]) -> Spoil:
    """Once, at the first event that may be bad, some bad ones in a row."""

    def spoil(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
        first = int(len(events) * FROM)
        for n, event in enumerate(events):
            if n == first:
                yield from (Sent(value, honest=False, bad=True) for value in extra(events, n))
            yield Sent(event.body())

    return spoil


def _lone(events: list[Event], n: int) -> list[bytes]:
    return [events[n].at(events[n].time_ms + 20 * DAY_MS).body(id="ahead")]


def _each_station(events: list[Event], n: int) -> list[bytes]:
    ahead = events[n].time_ms + 29 * DAY_MS
    return [Event(ahead + k * 1000, name, events[n].values).body(id=f"ahead {k}") for k, name in enumerate(STATIONS)]


def _thirteen(events: list[Event], n: int) -> list[bytes]:
    return [events[n].at(events[n].time_ms + 29 * DAY_MS * (k + 1)).body(id=f"ahead {k}") for k in range(13)]


def _far_first(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    yield Sent(events[0].body(time="2099-01-01T00:00:00Z", id="first"), honest=False, bad=True)
    yield from (Sent(event.body()) for event in events)


def _gap(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    """The stream sleeps for a month."""
    first = int(len(events) * FROM)
    for n, event in enumerate(events):
        late = event if n < first else event.at(event.time_ms + 30 * DAY_MS)
        yield Sent(late.body(), bad=n == first)


def _sparse(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    """An event every two days, of panes of an hour."""
    for n, event in enumerate(events[:400]):
        yield Sent(event.at(events[0].time_ms + n * 2 * DAY_MS).body(id=str(n)))


def _backfill(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    """Days that were sent already come once more under other ids, among the live ones, ten for each of them."""
    first = int(len(events) * FROM)
    for n, event in enumerate(events):
        yield Sent(event.body())
        if n >= first and rng.random() < share:
            for k in range(10):
                old = events[(n * 10 + k) % (first // 2)]
                yield Sent(old.body(id=f"again {n} {k}"), honest=False, bad=True)


def _local_hours(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    """Local times without an offset over the night at whose end clocks go back."""
    night = 1_729_893_600_000  # 2024-10-25 22:00 UTC; clocks go back on the 27th
    for n, event in enumerate(events):
        moment = night + n * 300_000
        twice = 1_729_987_200_000 <= moment < 1_729_994_400_000
        yield Sent(event.at(moment).body(time=local_stamp(moment), id=str(n)), bad=twice)


def _silent(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
    """One station sends no more."""
    first = int(len(events) * FROM)
    for n, event in enumerate(events):
        if n < first or event.station != STATIONS[3]:
            yield Sent(event.body(), bad=n == first)


def _of_station(change: Callable[[Event], bytes], readable: bool = False) -> Spoil:
    """Events of one station are sent in another form."""

    def spoil(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
        first = int(len(events) * FROM)
        for n, event in enumerate(events):
            bad = n >= first and event.station == STATIONS[3]
            yield Sent(change(event) if bad else event.body(), honest=readable or not bad, bad=bad)

    return spoil


def _named(*names: str) -> Spoil:
    """Two stations are called so from some event on."""

    def spoil(events: list[Event], share: float, rng: Rng) -> Iterator[Sent]:
        for event in events:
            number = STATIONS.index(event.station)
            called = names[number] if number < len(names) else event.station
            yield Sent(event.body(station=called), bad=number < len(names))

    return spoil


def _text(event: Event, write: Callable[[float], Any]) -> bytes:
    return event.body(**{name: write(event.values[name]) for name in FEATURES})


_NAN = lambda event, rng: event.body(amount="@").replace(b'"@"', b"NaN")  # noqa: E731
_AVRO = lambda event, rng: b"\0" + struct.pack(">i", 42) + b"\x02\x10" + event.station.encode()  # noqa: E731
_SOME = (1.0, 0.3, 0.05)

KINDS: tuple[Kind, ...] = (
    Kind("one event 20 days ahead", _once(_lone), (0.0,)),
    Kind("one event of each station 29 days ahead", _once(_each_station), (0.0,), ("held",)),
    Kind("thirteen events, each 29 days further", _once(_thirteen), (0.0,), ("held",)),
    Kind(
        "events 20 days ahead, again and again",
        _between(lambda e, r: iter([e.at(e.time_ms + 20 * DAY_MS).body(id=f"a{r.random()}")])),
        (0.3, 0.05),
        ("held", "rejected"),
    ),
    Kind("the first event is of 2099", _far_first, (0.0,)),
    Kind("the stream sleeps for a month", _gap, (0.0,), ("held", "silence")),
    Kind("an event every two days", _sparse, (0.0,)),
    Kind("a backfill among live events", _backfill, (1.0, 0.3), ("late",)),
    Kind("local times while clocks go back", _local_hours, (0.0,), event={"timezone": ZONE}),
    Kind("undecodable", _each(lambda e, r: e.body()[:-9]), _SOME, ("rejected",)),
    Kind("an array", _each(lambda e, r: b"[" + e.body() + b"]"), _SOME, ("rejected",)),
    Kind("compressed bodies", _each(lambda e, r: gzip.compress(e.body(), mtime=0)), _SOME, ("rejected",)),
    Kind("latin-1", _each(lambda e, r: e.body(station="Z@rich").replace(b"@", b"\xfc")), _SOME, ("rejected",)),
    Kind("a NaN literal", _each(_NAN, readable=True), _SOME, ("coerced", "missing")),
    Kind("numbers as text", _each(lambda e, r: _text(e, str), readable=True), _SOME, ("coerced",)),
    Kind(
        "decimal commas",
        _each(lambda e, r: _text(e, lambda x: f"{x:.4f}".replace(".", ",")), readable=True),
        _SOME,
        ("coerced",),
    ),
    Kind(
        "booleans for numbers",
        _each(lambda e, r: e.body(amount=True), readable=True),
        _SOME,
        ("coerced", "location", "unit"),
    ),
    Kind(
        "strict: numbers as text", _each(lambda e, r: _text(e, str)), _SOME, ("rejected",), {"policy": {"*": "strict"}}
    ),
    Kind(
        "an Infinity literal",
        _each(lambda e, r: e.body(amount="@").replace(b'"@"', b"-Infinity")),
        _SOME,
        ("unscorable", "rejected"),
    ),
    Kind("an object for a number", _each(lambda e, r: e.body(amount={"value": 1.0})), _SOME, ("rejected",)),
    Kind("no time", _each(lambda e, r: e.body(time=...)), _SOME, ("rejected",)),
    Kind("times in another form", _each(lambda e, r: e.body(time="11/27/26 4 PM")), _SOME, ("rejected",)),
    Kind("times in seconds", _each(lambda e, r: e.body(time=e.time_ms // 1000)), _SOME, ("rejected",)),
    Kind("tombstones", _each(lambda e, r: None), _SOME, ("rejected",)),
    Kind("too large", _each(lambda e, r: e.body(note="x" * 1_100_000)), (0.05,), ("rejected",)),
    Kind(
        "Confluent's header before JSON",
        _each(lambda e, r: b"\0" + struct.pack(">i", 42) + e.body(), readable=True),
        _SOME,
    ),
    Kind("Confluent's header before Avro", _each(_AVRO), _SOME, ("rejected",)),
    Kind("the same events again", _between(lambda e, r: iter([e.body()])), _SOME, ("duplicate",)),
    Kind(
        "a field renamed",
        _each(lambda e, r: e.body(amount=..., amout=e.values["amount"]), readable=True),
        _SOME,
        ("unknown_field", "missing"),
    ),
    Kind(
        "all numbers missing", _each(lambda e, r: e.body(**dict.fromkeys(FEATURES))), _SOME, ("rejected", "unscorable")
    ),
    Kind("one number missing", _each(lambda e, r: e.body(load=None), readable=True), (1.0, 0.3), ("missing",)),
    Kind(
        "one station a day late",
        _of_station(lambda e: e.at(e.time_ms - DAY_MS).body(id=f"late {e.id}")),
        (1 / 12,),
        ("late", "silence", "volume", "dropped"),
    ),
    Kind(
        "one station in another unit",
        _of_station(lambda e: e.body(amount=1000 * e.values["amount"]), readable=True),
        (1 / 12,),
        ("unit",),
    ),
    Kind("one sensor stuck", _of_station(lambda e: e.body(amount=21.5), readable=True), (1 / 12,), ("stuck",)),
    Kind("one station silent", _silent, (0.0,), ("silence", "volume")),
    Kind("stations called like our own words", _named("__other__", "__all__", "(none)", ""), (4 / 12,)),
    Kind("control characters in names", _named("a\0b", "a\x1b[31mb", "a\nb", "a\\nb"), (4 / 12,)),
    Kind("one name in two Unicode forms", _named("Zürich", unicodedata.normalize("NFD", "Zürich")), (2 / 12,)),
)
"""Every kind."""
