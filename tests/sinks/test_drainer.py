"""The drainer gives up no point because a sink is away, and none because another one is bad."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stream_app.errors import SinkError
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
    assert sink.writes == 1 + 2 * 3 + 2, "the whole, both halves of what is still refused, a neighbour, once more"


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
    drainer.stop(30)
    assert len(spool) == 0, "the write in hand is finished first"


def test_stopping_ends_in_time_where_the_sink_hangs_and_leaves_it_open(spool: Spool) -> None:
    go_on, writing, closed = threading.Event(), threading.Event(), threading.Event()

    class Hanging(RecordingSink):
        def write(self, batch: object) -> None:
            writing.set()
            assert not closed.is_set()
            go_on.wait(60)

        def close(self) -> None:
            closed.set()

    spool.append([point(0)])
    drainer = Drainer(spool, Hanging())
    drainer.start()
    assert writing.wait(10)
    began = time.monotonic()
    drainer.stop(0.2)
    assert time.monotonic() - began < 5
    assert not closed.is_set()
    assert len(spool) == 1
    spool.close()
    go_on.set()
    assert closed.wait(10), "its own thread closes it"
    again = Spool(spool.path, 100)
    assert len(again) == 1, "what it had in hand when the spool closed is handed on by the next run"
    again.close()


class Faulty(RecordingSink):
    """Raises what it is given, in turn, then works."""

    def __init__(self, faults: list[Exception]) -> None:
        super().__init__()
        self._faults = faults

    def write(self, batch: Sequence[Point]) -> None:
        if self._faults:
            raise self._faults.pop(0)
        super().write(batch)


@pytest.mark.parametrize(
    "fault",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.DatabaseError("database disk image is malformed"),
        MemoryError(),
        KeyError("what nobody has thought of"),
        RecursionError("maximum recursion depth exceeded"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_a_sink_raises_draining_goes_on(
    spool: Spool, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Faulty([fault, fault])
    spool.append([point(n) for n in range(3)])
    drained(spool, sink)
    assert len(sink.taken) == 3
    assert len(caplog.records) == 1, "said once"
    assert type(fault).__name__ in caplog.text
    assert "3 points are kept" in caplog.text


def test_the_state_says_what_fails_and_since_when(spool: Spool) -> None:
    sink, failing = RecordingSink(), threading.Event()
    original = sink.write

    def write(batch: Sequence[Point]) -> None:
        if not failing.is_set():
            failing.set()
            raise SinkError("the server is away")
        original(batch)

    sink.write = write  # type: ignore[method-assign]
    drainer = Drainer(spool, sink)
    assert not drainer.state.alive
    spool.append([point(0)])
    began = time.monotonic()
    drainer.start()
    assert failing.wait(10)
    while not (state := drainer.state).error:
        assert len(spool) == 1
    assert (state.alive, state.error, state.failures) == (True, "the server is away", 1)
    assert began <= (state.failing_since or 0) <= time.monotonic()
    assert drainer.drain(20)
    assert (drainer.state.error, drainer.state.failing_since, drainer.state.failures) == ("", None, 0)
    drainer.stop()
    assert not drainer.state.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_although_nobody_stopped_it_shows(spool: Spool) -> None:
    class Ending(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            raise SystemExit  # ends a thread without a word

    spool.append([point(0)])
    drainer = Drainer(spool, Ending())
    drainer.start()
    drainer._thread.join(10)
    assert not drainer.state.alive
    assert not drainer.drain(60), "nobody waits for it"
    drainer.stop()
    assert len(spool) == 1


def test_a_disk_that_is_full_while_it_deletes_is_waited_for(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    sink = RecordingSink()
    spool.append([point(n) for n in range(2_500)])
    spool._db.execute("CREATE TRIGGER full BEFORE DELETE ON queue BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END")
    drainer = Drainer(spool, sink)
    drainer.start()
    assert not drainer.drain(1)
    assert drainer.state.alive
    assert "disk full" in drainer.state.error
    assert len(spool) == 2_500
    spool._db.execute("DROP TRIGGER full")
    assert drainer.drain(20), "it goes on as soon as there is room"
    drainer.stop()
    assert len(sink.taken) == 2_500


def test_a_spool_that_another_program_locks_is_waited_for(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool._db.execute("PRAGMA busy_timeout = 50")
    sink = RecordingSink()
    spool.append([point(0)])
    stranger = sqlite3.connect(spool.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    drainer = Drainer(spool, sink)
    drainer.start()
    assert not drainer.drain(0.5)
    assert "another program has locked it" in drainer.state.error
    stranger.execute("ROLLBACK")
    stranger.close()
    assert drainer.drain(20)
    drainer.stop()


def test_points_leave_in_the_order_in_which_they_came(spool: Spool) -> None:
    sink = RecordingSink()
    for first in range(0, 3 * BATCH_POINTS, 1_500):
        spool.append([point(n) for n in range(first, first + 1_500)])
    drained(spool, sink)
    assert [p.time_ms for p in sink.taken.values()] == [point(n).time_ms for n in range(3 * BATCH_POINTS)]
    assert sink.writes == 3


def test_a_sink_that_is_too_slow_for_a_whole_batch_gets_smaller_ones(spool: Spool) -> None:
    sizes = list[int]()

    class Slow(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            sizes.append(len(batch))
            if len(batch) > BATCH_POINTS // 3:
                raise SinkError("the server has not answered in time")
            super().write(batch)

    sink = Slow()
    spool.append([point(n) for n in range(BATCH_POINTS)])
    drained(spool, sink)
    assert sizes[:3] == [BATCH_POINTS, BATCH_POINTS // 2, BATCH_POINTS // 4]
    assert sizes[3] > sizes[2], "they grow again"
    assert [p.time_ms for p in sink.taken.values()] == [point(n).time_ms for n in range(BATCH_POINTS)]
