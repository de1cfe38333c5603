"""Blocks of points in the spool: each point goes its own way, and counts as one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Point
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import window_points
from tests.sinks.making import point, set_aside
from tests.stages.test_point_blocks import windows


def appended(spool: Spool, sizes: list[int]) -> list[Point]:
    """Blocks of so many cells, and points where it is 0; all of them one by one."""
    parts: list[Point | WindowBlock] = []
    expected: list[Point] = []
    for n, size in enumerate(sizes):
        parts += WindowBlock.of("s", windows(size, n)) if size else [point(n)]
        expected += window_points("s", windows(size, n)) if size else [point(n)]
    spool.append(parts)
    return expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=6), st.data())
def test_any_points_may_go_first(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "s.sqlite", 1_000)
    left = dict(enumerate(appended(spool, sizes), 1))
    assert len(spool) == len(left)
    while left:
        n, after = data.draw(st.integers(1, 9)), data.draw(st.integers(0, max(left) - 1))
        found = spool.read(n, after)
        assert found == [(number, one) for number, one in left.items() if number > after][:n]
        gone = data.draw(st.sets(st.sampled_from([number for number, _ in found]), min_size=1))
        spool.drop(sorted(gone))
        left = {number: one for number, one in left.items() if number not in gone}
    assert (spool.read(9), len(spool)) == ([], 0)
    spool.append([point(1)])
    assert spool.read(9) == [(sum(2 * size or 1 for size in sizes) + 1, point(1))]
    spool.close()


def test_one_of_a_block_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    first, second, *others = appended(spool, [3])
    spool.set_aside(2, "a bad point")
    assert [one for _, one in spool.read(9)] == [first, *others]
    assert set_aside(tmp_path / "s.sqlite") == [(second, "a bad point")]
    assert spool.put_back() == 1
    assert [one for _, one in spool.read(9)] == [first, *others, second]
    spool.close()


def test_over_its_bound_whole_blocks_go_and_their_points_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 10)
    everything = appended(spool, [4, 1, 4])
    assert spool.dropped == 8
    assert len(spool) == 10
    assert [one for _, one in spool.read(99)] == everything[8:]
    spool.close()


def test_a_damaged_block_is_set_aside_and_the_rest_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    appended(spool, [2, 0])
    with sqlite3.connect(tmp_path / "s.sqlite") as link:
        link.execute("UPDATE queue SET point = substr(point, 1, 40) WHERE points > 1")
    link.close()
    assert [one for _, one in spool.read(9)] == [point(1)]
    assert spool.kept_aside == 1
    spool.close()
