"""A point is set aside only beside proof that the sink takes others, and a bad one blocks none behind it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected, Sink, Unwritable
from stream_app.sinks.delivery import Delivery
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.influx import InfluxSink
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Point
from tests.sinks.making import RecordingSink, ScriptedServer, point, set_aside
from tests.sinks.test_stores import config_of

BATCH = 64


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "s.sqlite", 100_000)
    yield spool
    spool.close()


class Rounds:
    """Delivers batch after batch, as the drainer does, and takes note of what was set aside."""

    def __init__(self, spool: Spool, sink: Sink) -> None:
        self.spool, self.aside = spool, list[str]()
        self._delivery = Delivery(spool, sink, self.aside.append, lambda: False)

    def run(self, most: int) -> int:
        """Until the spool is empty; how many rounds failed."""
        failed = 0
        for _ in range(most):
            try:
                self._delivery.deliver(self.spool.rows(BATCH))
            except SinkError:
                failed += 1
            if not len(self.spool):
                return failed
        raise AssertionError(f"{len(self.spool)} points are left after {most} rounds")


def number(p: Point) -> int:
    return int(dict(p.fields)["x"])


def test_a_server_that_refuses_everything_sets_nothing_aside(spool: Spool) -> None:
    """As a proxy does that answers 400 to whatever comes, for hours, from the first request on or later."""
    refusing = [True]
    sink = RecordingSink(lambda p: refusing[0] or number(p) in (5, 700))
    spool.append([point(n) for n in range(1_000)])
    rounds = Rounds(spool, sink)
    for _ in range(200):
        with pytest.raises(AssertionError):
            rounds.run(1)
    assert len(spool.read(9_999)) == 1_000
    assert sink.writes < 200 * 30, "it does not ask for every point each time"
    refusing[0] = False
    assert rounds.run(99) == 0
    assert {number(p) for p, _ in set_aside(spool.path)} == {5, 700}
    refusing[0] = True
    spool.append([point(n) for n in range(2_000, 2_100)])
    for _ in range(200):
        with pytest.raises(AssertionError):
            rounds.run(1)
    assert len(spool.read(9_999)) == 100
    refusing[0] = False
    assert rounds.run(99) == 0
    assert len(rounds.aside) == 2


def test_a_bad_point_alone_waits_for_one_that_proves_it_and_then_goes(spool: Spool) -> None:
    sink = RecordingSink(lambda p: number(p) == 0)
    rounds = Rounds(spool, sink)
    spool.append([point(0)])
    for _ in range(5):
        with pytest.raises(AssertionError, match="1 points are left"):
            rounds.run(1)
    assert rounds.aside == []
    spool.append([point(1)])
    rounds.run(3)
    assert rounds.aside == ["a bad point"]
    assert {number(p) for p in sink.taken.values()} == {1}


@pytest.mark.parametrize("bad", [1, 2, 5, 63, 64, 65, 500])
def test_bad_points_in_front_never_block_what_is_behind(spool: Spool, bad: int) -> None:
    sink = RecordingSink(lambda p: number(p) < bad)
    spool.append([point(n) for n in range(bad + 7)])
    rounds = Rounds(spool, sink)
    rounds.run(400)
    assert {number(p) for p, _ in set_aside(spool.path)} == set(range(bad))
    assert {number(p) for p in sink.taken.values()} == set(range(bad, bad + 7))


def test_any_mixture_of_good_and_bad_is_settled(spool: Spool, seed: int) -> None:
    chance = random.Random(seed)
    for share in (0.01, 0.5, 0.97):
        bad = {n for n in range(300) if chance.random() < share} | {0}
        bad.discard(chance.randrange(1, 300))
        sink = RecordingSink(lambda p, bad=bad: number(p) in bad)  # type: ignore[misc]
        spool.append([point(n) for n in range(300)])
        rounds = Rounds(spool, sink)
        rounds.run(2_000)
        assert len(rounds.aside) == len(bad), f"seed {seed}"
        assert {number(p) for p in sink.taken.values()} == set(range(300)) - bad, f"seed {seed}"


def test_a_point_refused_by_chance_is_asked_for_again(spool: Spool) -> None:
    """As while a proxy is started again: what was refused a moment ago is taken now."""
    sink = RecordingSink()
    refusals = [7]  # 64, 32, 16, 8, 4, 2, 1
    original = sink.write

    def write(batch: Sequence[Point]) -> None:
        if refusals[0] and number(batch[0]) == 0:
            refusals[0] -= 1
            raise Rejected("not now")
        original(batch)

    sink.write = write  # type: ignore[method-assign]
    spool.append([point(n) for n in range(64)])
    rounds = Rounds(spool, sink)
    rounds.run(1)
    assert rounds.aside == []
    assert len(sink.taken) == 64


def test_a_batch_too_large_passes_in_parts(spool: Spool) -> None:
    class Small(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            if len(batch) > 5:
                raise Rejected("413")
            super().write(batch)

    spool.append([point(n) for n in range(200)])
    rounds = Rounds(spool, Small())
    assert rounds.run(4) == 0
    assert rounds.aside == []


def _raising(kind: type[Exception]) -> Callable[[RecordingSink, Sequence[Point]], None]:
    def check(sink: RecordingSink, batch: Sequence[Point]) -> None:
        if any(number(p) >= 2**63 for p in batch):
            raise kind("int too large")

    return check


@pytest.mark.parametrize("kind", [OverflowError, TypeError, ValueError, Unwritable])
@pytest.mark.parametrize("place", [0, 33, 99])
def test_a_point_that_a_sink_cannot_encode_is_isolated(spool: Spool, kind: type[Exception], place: int) -> None:
    check = _raising(kind)

    class Encoding(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            check(self, batch)
            super().write(batch)

    sink = Encoding()
    spool.append([point(n, x=2**63 if n == place else n) for n in range(100)])
    rounds = Rounds(spool, sink)
    assert rounds.run(2) == 0
    assert len(sink.taken) == 99
    assert len(rounds.aside) == 1
    assert "int too large" in rounds.aside[0]


def test_what_no_store_could_take_needs_no_proof(spool: Spool) -> None:
    class Encoding(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            raise Unwritable("int too large")

    spool.append([point(0)])
    rounds = Rounds(spool, Encoding())
    assert rounds.run(2) == 0
    assert rounds.aside == ["int too large"]


def test_a_sink_that_fails_with_value_errors_alone_sets_nothing_aside(spool: Spool) -> None:
    """A sink that makes nothing of the answers of its server, whatever is sent."""

    class Confused(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            raise ValueError("Expecting value: line 1 column 1 (char 0)")

    spool.append([point(n) for n in range(50)])
    rounds = Rounds(spool, Confused())
    for _ in range(9):
        with pytest.raises(AssertionError):
            rounds.run(1)
    assert rounds.aside == []
    assert len(spool.read(99)) == 50


def test_points_that_the_spool_cannot_decode_block_none_behind(spool: Spool) -> None:
    spool.append([point(n) for n in range(100)])
    for n in (1, 2, 50, 100):
        spool._db.execute("UPDATE queue SET point = ? WHERE id = ?", (b"\xc1", n))
    sink = RecordingSink()
    Rounds(spool, sink).run(3)
    assert len(sink.taken) == 96
    assert [reason for _, reason in spool.aside()] == ["the spool cannot decode it"] * 4


def test_a_newer_value_of_a_series_is_not_overwritten_by_an_older_one(spool: Spool) -> None:
    """Points are written again as proof: the last value of each series must still win."""
    sink = RecordingSink(lambda p: number(p) % 7 == 0)
    values = list(range(1, 200))
    spool.append([point(value % 10, x=value) for value in values])
    Rounds(spool, sink).run(99)
    newest = {point(value % 10).time_ms: value for value in values if value % 7}
    assert {p.time_ms: number(p) for p in sink.taken.values()} == newest


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_proxy_that_refuses_whatever_comes_costs_no_point(spool: Spool, tmp_path: Path, status: int) -> None:
    """The same through InfluxDB's client and a real connection: refused at first, taken, refused again."""
    server = ScriptedServer([status] * 10_000)
    sink = InfluxSink(config_of(tmp_path, kind="influx", url=server.url))
    rounds = Rounds(spool, sink)
    for first in (0, 1_000):
        server.statuses = [status] * 10_000
        spool.append([point(n) for n in range(first, first + 100)])
        for _ in range(5):
            with pytest.raises(AssertionError, match="100 points are left"):
                rounds.run(1)
        server.statuses = []
        assert rounds.run(9) == 0
    assert rounds.aside == []
    sink.close()
    server.close()


def test_two_workers_on_one_spool_set_a_point_aside_once(tmp_path: Path) -> None:
    first, second = (Spool(tmp_path / "s.sqlite", 10_000) for _ in range(2))
    first.append([point(n) for n in range(3_000)])
    sinks = [RecordingSink(lambda p: number(p) % 500 == 7) for _ in range(2)]
    drainers = [Drainer(spool, sink) for spool, sink in zip((first, second), sinks, strict=True)]
    for drainer in drainers:
        drainer.start()
    assert all(drainer.drain(60) for drainer in drainers)
    for drainer in drainers:
        drainer.stop()
    assert sorted(number(p) for p, _ in set_aside(first.path)) == list(range(7, 3_000, 500))
    assert len({number(p) for sink in sinks for p in sink.taken.values()}) == 3_000 - 6
    first.close()
    second.close()
