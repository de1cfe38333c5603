"""The drainer gives up no point because a sink is away, and none because another one is bad."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.sinks.drainer import BATCH_POINTS, Drainer
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Point
from tests.sinks.making import RecordingSink, point, set_aside


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "s.sqlite", 10 * BATCH_POINTS)
    yield spool
    spool.close()


def numbers(points: list[Point]) -> set[object]:
    return {dict(p.fields)["x"] for p in points}


def drained(spool: Spool, sink: RecordingSink, timeout_s: float = 20) -> Drainer:
    """After everything has left the spool."""
    drainer = Drainer(spool, sink)
    drainer.start()
    assert drainer.drain(timeout_s)
    drainer.stop()
    return drainer


def test_bad_points_are_set_aside_and_the_others_arrive(spool: Spool) -> None:
    bad = {3, 4, 77, 199}
    sink = RecordingSink(lambda p: dict(p.fields)["x"] in bad)
    spool.append([point(n) for n in range(200)])
    drained(spool, sink)
    assert numbers(list(sink.taken.values())) == set(range(200)) - bad
    aside = set_aside(spool.path)
    assert numbers([p for p, _ in aside]) == bad
    assert {reason for _, reason in aside} == {"a bad point"}


def test_only_points_of_a_rejected_batch_are_written_one_by_one(spool: Spool) -> None:
    sink = RecordingSink(lambda p: dict(p.fields)["x"] == 0)
    spool.append([point(n) for n in range(8)])
    drained(spool, sink)
    assert sink.writes == 1 + 2 * 3, "the whole, then both halves of what is still refused"


def test_an_absent_sink_loses_nothing(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    sink = RecordingSink()
    sink.away = 3
    spool.append([point(n) for n in range(50)])
    with caplog.at_level(logging.WARNING):
        drained(spool, sink)
    assert len(sink.taken) == 50
    assert sink.writes == 4
    assert [record.message for record in caplog.records] == [
        "the server is away; 50 points are kept, next try in 0.2 s"
    ], "said once, not at each try"


class Waits:
    """Stands in for the drainer's event: takes note of how long it would have waited."""

    def __init__(self, until: int) -> None:
        self.seconds: list[float] = []
        self._until = until

    def is_set(self) -> bool:
        return len(self.seconds) >= self._until

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def set(self) -> None: ...


def test_the_wait_doubles_up_to_half_a_minute_for_as_long_as_it_takes(spool: Spool) -> None:
    sink, days = RecordingSink(), 5_000
    sink.away = days
    drainer = Drainer(spool, sink)
    spool.append([point(0)])
    waits = Waits(days + 1)
    drainer._stopping = waits  # type: ignore[assignment]
    drainer._run()
    assert waits.seconds[:9] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert waits.seconds[days - 1] == 30.0
    assert waits.seconds[days] == 0.1, "the write went through, and there is nothing more to do"
    assert len(sink.taken) == 1


def test_a_failure_long_ago_does_not_lengthen_the_next_wait(spool: Spool) -> None:
    sink = RecordingSink()
    drainer, waits = Drainer(spool, sink), Waits(6)
    drainer._stopping = waits  # type: ignore[assignment]
    original = waits.wait

    def away_again(seconds: float) -> None:
        original(seconds)
        if seconds == 0.1:
            spool.append([point(len(waits.seconds))])
            sink.away = 2

    waits.wait = away_again  # type: ignore[method-assign]
    drainer._run()
    assert waits.seconds == [0.1, 0.25, 0.5, 0.1, 0.25, 0.5]


def test_a_sink_that_hangs_does_not_hold_up_the_caller(spool: Spool) -> None:
    go_on = threading.Event()

    class Hanging(RecordingSink):
        def write(self, batch: object) -> None:
            go_on.wait(30)

    spool.append([point(0)])
    drainer = Drainer(spool, Hanging())
    drainer.start()
    assert not drainer.drain(0.05)
    assert len(spool) == 1
    go_on.set()
    drainer.stop()
    assert len(spool) == 0, "the write in hand is finished first"


def test_points_leave_in_the_order_in_which_they_came(spool: Spool) -> None:
    sink = RecordingSink()
    for first in range(0, 3 * BATCH_POINTS, 1_500):
        spool.append([point(n) for n in range(first, first + 1_500)])
    drained(spool, sink)
    assert [p.time_ms for p in sink.taken.values()] == [point(n).time_ms for n in range(3 * BATCH_POINTS)]
    assert sink.writes == 3
