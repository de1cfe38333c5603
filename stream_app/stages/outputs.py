"""The point: what every sink takes."""

from __future__ import annotations

from dataclasses import dataclass

Field = int | float | str


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
