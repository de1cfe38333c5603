"""Blocks are handed on whole, and bisected by their points where a sink refuses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from stream_app.sinks.base import Rejected, Unwritable, parts_of
from stream_app.sinks.delivery import Delivery
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Block, Point
from stream_app.stages.point_blocks import WindowBlock
from tests.sinks.making import RecordingSink, point, set_aside
from tests.sinks.test_delivery import Rounds
from tests.stages.test_point_blocks import windows


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "s.sqlite", 100_000)
    yield spool
    spool.close()


class Blocks(RecordingSink):
    """Notes the parts of what it takes."""

    def __init__(self, is_bad: Callable[[Point], bool] = lambda _: False) -> None:
        super().__init__(is_bad)
        self.parts = list[Point | Block]()

    def write(self, batch: Sequence[Point]) -> None:
        super().write(batch)
        self.parts += parts_of(batch)


def blocks(cells: int, blocks: int = 1) -> list[WindowBlock]:
    """Each of a pane of its own, two points a cell."""
    return [block for k in range(blocks) for block in WindowBlock.of("s", replace(windows(cells), ends_ms=[k] * cells))]


def slice_of(p: Point) -> str:
    return dict(p.tags)["slice"]


def test_blocks_are_handed_on_whole_and_leave_as_one(spool: Spool) -> None:
    made, sink = [point(1), *blocks(5, 3), point(2)], Blocks()
    spool.append(made)
    delivery = Delivery(spool, sink, lambda _: None, lambda: False)
    delivery.deliver(spool.rows(1))
    assert (sink.parts, len(spool)) == (made[:1], 31)
    delivery.deliver(spool.rows(11))
    assert (sink.parts, len(spool)) == (made[:3], 11)
    delivery.deliver(spool.rows(99))
    assert (sink.parts, len(spool), sink.writes) == (made, 0, 3)


@pytest.mark.parametrize("kind", [Rejected, Unwritable, ValueError])
def test_of_a_block_that_is_refused_only_the_bad_points_are_set_aside(spool: Spool, kind: type[Exception]) -> None:
    bad = {("s0", 0), ("s3", 1), ("s4", 1), ("s6", 2)}

    class Picky(Blocks):
        def write(self, batch: Sequence[Point]) -> None:
            if any((slice_of(p), p.time_ms) in bad for p in batch):
                raise kind("a bad point")
            super().write(batch)

    sink, made = Picky(), blocks(7, 4)
    spool.append(made)
    rounds = Rounds(spool, sink)
    assert rounds.run(9) == 0
    everything = [p for block in made for p in block.points()]
    aside = [p for p, _ in set_aside(spool.path)]
    assert aside == [p for p in everything if (slice_of(p), p.time_ms) in bad]
    assert {*sink.taken.values()} == {*everything} - {*aside}
    assert made[3] in sink.parts, "those around it are written whole"


def test_blocks_that_are_refused_by_all_are_kept(spool: Spool) -> None:
    sink = RecordingSink(lambda _: True)
    spool.append(blocks(4, 2))
    rounds = Rounds(spool, sink)
    for _ in range(30):
        with pytest.raises(AssertionError, match="16 points are left"):
            rounds.run(1)
    assert (rounds.aside, len(spool.read(99))) == ([], 16)
    assert sink.writes < 30 * 20, "it does not ask for every point each time"


def test_a_sink_that_takes_no_block_gets_its_points(spool: Spool) -> None:
    """As one does whose way with blocks has a fault: none is lost or set aside for it."""

    class OneByOne(RecordingSink):
        def write(self, batch: Sequence[Point]) -> None:
            if not all(isinstance(part, Point) for part in parts_of(batch)):
                raise TypeError("what is this?")
            super().write(batch)

    sink, made = OneByOne(), blocks(6, 2)
    spool.append(made)
    rounds = Rounds(spool, sink)
    assert (rounds.run(3), rounds.aside) == (0, [])
    assert list(sink.taken.values()) == [p for block in made for p in block.points()]


def test_the_last_point_of_a_block_that_was_taken_is_proof(spool: Spool) -> None:
    sink = Blocks(lambda p: p == point(1))
    spool.append([*blocks(3), point(1)])
    rounds = Rounds(spool, sink)
    assert (rounds.run(1), rounds.aside) == (0, ["a bad point"])
    assert sink.parts[-1] == blocks(3)[0].points()[-1], "it was asked for once more"
