"""What a step of a stage wants done: messages to send and points to store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from schemas.intake import Refusal
from schemas.records import ServiceChange

Field = int | float | str

Role = Literal["partials", "evidence", "signals", "dead_letters"]
"""Which of our topics a message goes to, as ``[topics]`` names them."""


class Point(msgspec.Struct, frozen=True):
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


class Block(Protocol):
    """Many points in one, such as :class:`~stream_app.stages.point_blocks.WindowBlock`."""

    def __len__(self) -> int: ...

    def points(self) -> list[Point]:
        """The points one by one."""

    def packed(self) -> bytes:
        """As bytes, for a file."""


class Points:
    """Points in order. What reads them one by one sees no blocks.

    Attributes:
        parts: points and blocks of points.

    >>> points = Points([Point("models", (), 0, ())])
    >>> points += [Point("models", (), 1, ())]
    >>> len(points), [point.time_ms for point in points]
    (2, [0, 1])
    """

    __slots__ = ("parts",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, parts: Iterable[Point | Block] = ()) -> None:
        self.parts = list(parts)

    def append(self, point: Point) -> None:
        """One more."""
        self.parts.append(point)

    def __iadd__(self, others: Points | Iterable[Point | Block]) -> Points:
        self.parts += others.parts if isinstance(others, Points) else others
        return self

    def __add__(self, others: Points) -> Points:
        return Points([*self.parts, *others.parts])

    def __iter__(self) -> Iterator[Point]:
        for part in self.parts:
            yield from (part,) if isinstance(part, Point) else part.points()

    def __len__(self) -> int:
        return sum(1 if isinstance(part, Point) else len(part) for part in self.parts)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Points | list) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Points({list(self)!r})"


class Outgoing(msgspec.Struct, frozen=True):
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
        changes: which model is in service changes: a decision, which is written down before the messages are sent.
        first_dropped: offset of the first event that was ``late``, and of the first ``duplicate``, where there are any.
    """

    messages: list[Outgoing] = field(default_factory=list)
    points: Points = field(default_factory=Points)
    refused: list[tuple[int, Refusal]] = field(default_factory=list)
    unknown: bool = False
    unfinished: bool = False
    changes: list[ServiceChange] = field(default_factory=list)
    first_dropped: dict[str, int] = field(default_factory=dict)
