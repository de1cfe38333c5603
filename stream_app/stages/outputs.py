"""What a step of a stage wants done: messages to send and points to store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.intake import Refusal

Field = int | float | str

Role = Literal["partials", "evidence", "signals", "dead_letters"]
"""Which of our topics a message goes to, as ``[topics]`` names them."""


@dataclass(frozen=True, slots=True)
class Point:
    """One row of a measurement. Same measurement, tags and time: the last write wins.

    Attributes:
        measurement: ``windows``, ``pit``, ``alerts``, ``models``, ``counters`` …
        tags: low-cardinality strings, sorted, none of which varies by worker or attempt.
        time_ms: event time, milliseconds since the epoch.
        fields: values; floats are finite, ints are 64-bit.
    """

    measurement: str
    tags: tuple[tuple[str, str], ...]
    time_ms: int
    fields: tuple[tuple[str, Field], ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: the role of its topic, its partition there, key, value and headers."""

    role: Role
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Outputs:
    """What one step wants done.

    Attributes:
        messages: to send, in order.
        points: for the sink.
        refused: ``(offset, why)`` of input messages that WATCH could not take; their dead letters are among the
            messages.
        unknown: WATCH has stopped before a message that names a source partition or a model of which it knows no
            decision.
        unfinished: WATCH has stopped because the step has done as much as it may: hand in the same messages again.
        first_dropped: offset of the first event that was ``late``, and of the first ``duplicate``, where there are any.
    """

    messages: list[Outgoing] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    refused: list[tuple[int, Refusal]] = field(default_factory=list)
    unknown: bool = False
    unfinished: bool = False
    first_dropped: dict[str, int] = field(default_factory=dict)
