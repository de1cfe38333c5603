"""Events of a seed: most of them ordinary, some late, far ahead, twice, no events at all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from tests.simulation.cast import SOURCES
from tests.stages import streams

Body = bytes | None

JUNK: list[Body] = [
    None,
    b"",
    b"{junk",
    b"[1, 2]",
    b'{"t": "yesterday", "x": 1}',
    b'{"x": 1, "y": 2, "v": 3, "c": "a", "station": "north"}',
    b'{"t": 5, "x": "heavy", "y": 2, "v": 3, "c": "a", "station": "north"}',
    b"\xff\xfe\x00",
    b'{"t": 1e400, "x": 1}',
    b'{"t":1000}\n{"t":2000}',
    b'{"pad": "' + b"x" * 3_000 + b'"}',
]
"""Bodies that are no events."""


@dataclass
class Traits:
    """How often an event is not what it should be."""

    junk: float = 0.0
    late: float = 0.0
    ahead: float = 0.0
    future: float = 0.0
    twice: float = 0.0
    jitter_ms: float = 150.0
    drift: bool = True


@dataclass
class Workload:
    """What is produced.

    Attributes:
        bodies: by source partition, in order of the log.
        span_ms: event time that they span.
    """

    span_ms: int
    bodies: list[list[Body]] = field(default_factory=list)


def workload(
    seed: int, chance: random.Random, traits: Traits, rows: int, span_ms: int, sources: int = SOURCES
) -> Workload:
    """So many events on each source partition, over a span of event time."""
    made = Workload(span_ms)
    for partition in range(sources):
        draws = np.random.default_rng([seed, partition])
        made.bodies.append(_partition(partition, draws, chance, traits, rows, span_ms))
    return made


def _partition(
    partition: int, draws: np.random.Generator, chance: random.Random, traits: Traits, rows: int, span_ms: int
) -> list[Body]:
    numeric, categories, stations = streams.table(draws, rows)
    times = np.linspace(0, span_ms, rows) + draws.normal(0, traits.jitter_ms, rows)
    out: list[Body] = []
    for i in range(rows):
        time_ms, number = max(int(times[i]), 0), 1_000 * partition + i
        if chance.random() < traits.late:
            time_ms = max(time_ms - chance.randint(2_000, 6_000), 0)
        if chance.random() < traits.ahead:
            time_ms += chance.randint(2_000, 6_000)
        if chance.random() < traits.future:
            time_ms += chance.randint(25_000, 60_000)
        x, y, v = (None if np.isnan(value) else float(value) for value in numeric[i])
        if traits.drift and i > rows // 2 and x is not None:
            x += 5.0
        out.append(streams.event(time_ms, number, x=x, y=y, v=v, c=categories[i, 0], station=stations[i]))
        if chance.random() < traits.twice:
            out.append(chance.choice(out[-5:]))
        if chance.random() < traits.junk:
            out.append(chance.choice(JUNK))
    return out
