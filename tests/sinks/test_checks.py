"""The check of sinks can fail: each of these sinks has one fault, and is found out by it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from stream_app.sinks.base import Sink, parts_of
from stream_app.sinks.checks import check_sink
from stream_app.stages.outputs import Point

Row = tuple[str, int, float]


class Memory:
    """A sink without faults: last write wins, by measurement, tags and time."""

    def __init__(self) -> None:
        self.points: dict[object, Point] = {}
        self.closed = False

    def key(self, point: Point) -> object:
        return point.measurement, point.tags, point.time_ms

    def write(self, batch: Sequence[Point]) -> None:
        for point in batch:
            self.points[self.key(point)] = point

    def close(self) -> None:
        self.closed = True

    def read(self) -> list[Row]:
        windows = [p for p in self.points.values() if p.measurement == "windows"]
        return [(dict(p.tags)["slice"], p.time_ms, float(dict(p.fields)["x"])) for p in windows]


class Drops(Memory):
    """Loses the last point of a batch."""

    def write(self, batch: Sequence[Point]) -> None:
        super().write(batch[:-1])


class Lumps(Memory):
    """Takes all measurements for one."""

    def write(self, batch: Sequence[Point]) -> None:
        super().write([replace(point, measurement="windows") for point in batch])


class Mixes(Memory):
    """Takes all series of a measurement for one."""

    def key(self, point: Point) -> object:
        return point.measurement, point.time_ms


class Appends(Memory):
    """Keeps what is written twice twice."""

    def key(self, point: Point) -> object:
        return len(self.points)


class Counts(Memory):
    """Adds up what is written twice."""

    def write(self, batch: Sequence[Point]) -> None:
        for point in batch:
            x = dict(point.fields)["x"]
            seen = self.points.get(self.key(point))
            total = float(x) + (float(dict(seen.fields)["x"]) if seen else 0.0)
            super().write([Point(point.measurement, point.tags, point.time_ms, (("x", total),))])


class Rounds(Memory):
    """Keeps times in seconds."""

    def read(self) -> list[Row]:
        return [(name, time_ms // 1_000 * 1_000, x) for name, time_ms, x in super().read()]


class Truncates(Memory):
    """Cuts tags at a comma, as a line protocol without escapes does."""

    def read(self) -> list[Row]:
        return [(name.split(",")[0], time_ms, x) for name, time_ms, x in super().read()]


class Tidies(Memory):
    """Writes a newline as a backslash and an n, as InfluxDB's client does."""

    def key(self, point: Point) -> object:
        return point.measurement, tuple(value.replace("\n", "\\n") for _, value in point.tags), point.time_ms


class Composes(Memory):
    """Gives back other names than it keeps apart."""

    def read(self) -> list[Row]:
        return [(unicodedata.normalize("NFC", name), time_ms, x) for name, time_ms, x in super().read()]


class Empties(Memory):
    """Takes an empty batch for an order to start over."""

    def write(self, batch: Sequence[Point]) -> None:
        if not batch:
            self.points.clear()
        super().write(batch)


class Overlooks(Memory):
    """Writes what it finds in a batch, but for blocks."""

    def write(self, batch: Sequence[Point]) -> None:
        super().write([part for part in parts_of(batch) if isinstance(part, Point)])


class Filled(Memory):
    """Is not empty at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.write([Point("windows", (("slice", "old"),), 1, (("x", 1),))])


FAULTS: dict[type[Memory], str] = {
    Drops: "what was written is not what is stored: .* missing",
    Mixes: "what was written is not what is stored: .* missing",
    Appends: "writing points a second time has changed what is stored: 303 stored more than once",
    Counts: "writing points a second time has changed what is stored: .* missing",
    Lumps: "points of another measurement have changed what is stored",
    Rounds: "what was written is not what is stored: .* missing",
    Truncates: "what was written is not what is stored: 3 missing",
    Empties: "writing no points has changed what is stored: 303 missing",
    Overlooks: "a block of points between points is not what is stored: 3 missing",
    Tidies: "of 10 slices whose names look alike these are stored",
    Composes: "of 10 slices whose names look alike these are stored",
    Filled: "the store was not empty at the start: 1 unexpected",
}


def test_a_sink_without_faults_passes_and_is_closed() -> None:
    sink = Memory()
    assert isinstance(sink, Sink)
    check_sink(sink, sink.read)
    assert sink.closed


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_sink_with_a_fault_does_not(kind: type[Memory]) -> None:
    sink = kind()
    with pytest.raises(AssertionError, match=FAULTS[kind]):
        check_sink(sink, sink.read)
