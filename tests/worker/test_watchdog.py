"""A stalled partition is one with lag whose settled offset does not move."""

from __future__ import annotations

from stream_app.kafka.types import TopicPartition
from stream_app.worker.watchdog import STALL_S, Watchdog

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


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
