"""A stalled partition is one with lag whose committed offset does not move."""

from __future__ import annotations

from stream_app.worker.watchdog import Watchdog, lag_of


def test_a_partition_with_lag_and_no_commits_is_stalled() -> None:
    dog = Watchdog(stall_s=10)
    assert not dog.stalled({"a": (5, 9), "b": (9, 9)}, 0.0)
    assert not dog.stalled({"a": (5, 9), "b": (9, 9)}, 9.0)
    assert dog.stalled({"a": (5, 9), "b": (9, 9)}, 11.0) == ["a"]


def test_progress_and_the_end_of_the_lag_both_count_as_life() -> None:
    dog = Watchdog(stall_s=10)
    dog.stalled({"a": (5, 9)}, 0.0)
    assert not dog.stalled({"a": (6, 9)}, 11.0)
    assert not dog.stalled({"a": (6, 6)}, 30.0)
    assert not dog.stalled({"a": (6, 7)}, 31.0)
    assert dog.stalled({"a": (6, 7)}, 42.0) == ["a"]


def test_a_partition_that_left_starts_anew_when_it_returns() -> None:
    dog = Watchdog(stall_s=10)
    dog.stalled({"a": (5, 9)}, 0.0)
    dog.stalled({}, 5.0)
    assert not dog.stalled({"a": (5, 9)}, 20.0)


def test_lag_is_unknown_until_every_watermark_is() -> None:
    assert lag_of({"a": (None, None), "b": (3, 5)}) is None
    assert lag_of({}) is None
    assert lag_of({"a": (None, 4), "b": (3, 5)}) == 6
