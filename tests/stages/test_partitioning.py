"""Where each writer's signals go: one writer a partition, and none moves when the events topic grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.stages.partitioning import (
    judge_signals,
    score_signals,
    signals_size,
    slice_partition,
    slice_partitions,
    trainer_signals,
)


def places(sources: int, width: int) -> list[int]:
    score = [score_signals(p, width) for p in range(sources)]
    return [*score, judge_signals(width), trainer_signals(width)]


@pytest.mark.parametrize(("sources", "width"), [(1, 1), (4, 4), (32, 32), (4, 2), (9, 1), (33, 32)])
def test_every_writer_has_a_signals_partition_of_its_own(sources: int, width: int) -> None:
    assert sorted(places(sources, width)) == list(range(signals_size(sources, width)))


def test_no_writer_moves_when_the_events_topic_grows() -> None:
    for sources in range(2, 9):
        grown = places(sources + 1, 2)
        assert [grown.pop(sources), grown] == [sources + 2, places(sources, 2)]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=20), st.integers(1, 9))
def test_many_slices_go_where_each_goes(names: list[str], n: int) -> None:
    assert slice_partitions("k", names, n) == [slice_partition("k", name, n) for name in names]
