"""How much is left is known once every high watermark is; a partition whose offset does not move is stalled."""

from __future__ import annotations

from stream_app.kafka.types import TopicPartition
from stream_app.worker.progress import STALL_S, Watchdog, lag_of, lags_of

A, B, OTHER = TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("u", 0)


def test_lag_is_unknown_until_every_watermark_is() -> None:
    assert lag_of({A: (None, None), B: (3, 5)}) is None
    assert lag_of({}) is None
    assert lag_of({A: (None, 4), B: (3, 5)}) == 6


def test_lags_of_a_topic_are_told_by_partition() -> None:
    assert lags_of({A: (3, 5), B: (None, None), OTHER: (0, 9)}, "t") == {0: 2, 1: None}


def test_a_partition_with_lag_and_no_progress_is_stalled() -> None:
    dog = Watchdog()
    assert not dog.stalled({A: (5, 9), B: (9, 9)}, 0.0)
    assert not dog.stalled({A: (5, 9), B: (9, 9)}, STALL_S)
    assert dog.stalled({A: (5, 9), B: (9, 9)}, STALL_S + 1) == [A]


def test_progress_and_the_end_of_the_lag_both_count_as_life() -> None:
    dog = Watchdog()
    dog.stalled({A: (5, 9)}, 0.0)
    assert not dog.stalled({A: (6, 9)}, STALL_S + 1)
    assert not dog.stalled({A: (6, 6)}, 3 * STALL_S)
    assert not dog.stalled({A: (6, 7)}, 3 * STALL_S + 1)
    assert dog.stalled({A: (6, 7)}, 4 * STALL_S + 2) == [A]


def test_a_partition_whose_first_offset_is_not_settled_stalls_too() -> None:
    dog = Watchdog()
    dog.stalled({A: (None, 9)}, 0.0)
    assert dog.stalled({A: (None, 9)}, STALL_S + 1) == [A]


def test_a_partition_that_left_starts_anew_when_it_returns() -> None:
    dog = Watchdog()
    dog.stalled({A: (5, 9)}, 0.0)
    dog.stalled({}, STALL_S / 2)
    assert not dog.stalled({A: (5, 9)}, 2 * STALL_S)
