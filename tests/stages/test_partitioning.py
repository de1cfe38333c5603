"""Where each writer's signals go: one writer a partition, and none moves when the events topic grows."""

from __future__ import annotations

import pytest

from stream_app.stages.partitioning import judge_signals, score_signals, signals_size, trainer_signals


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
