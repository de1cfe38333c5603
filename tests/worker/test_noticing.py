"""What only a running worker knows is noticed: open transactions, lag that stays or grows, silence by the clock."""

from __future__ import annotations

from stream_app.kafka.types import TopicPartition
from stream_app.worker.noticing import (
    GROWTH_MIN,
    GROWTH_S,
    GROWTH_STEPS,
    LAG_S,
    SILENCE_S,
    SILENCE_TIMES,
    TRANSACTION_S,
    Noticing,
)

A, B, PARTIALS = TopicPartition("e", 0), TopicPartition("e", 1), TopicPartition("p", 0)


class Watched:
    """A worker's partitions, looked at whenever something is said of them."""

    def __init__(self) -> None:
        self._noticing, self._now_s = Noticing("e"), 1_000.0

    def later(self, seconds: float, **places: tuple[int | None, int | None, int | None]) -> dict[str, str]:
        """What is noticed after some seconds; ``settled``, readable end and high watermark by partition's name."""
        self._now_s += seconds
        named = {"a": A, "b": B, "p": PARTIALS}
        progress = {named[name]: (settled, end) for name, (settled, end, _) in places.items()}
        return self._noticing.look(progress, {named[name]: high for name, (_, _, high) in places.items()}, self._now_s)


def test_a_transaction_that_stays_open_is_named_with_what_it_holds_back() -> None:
    watched = Watched()
    assert not watched.later(0, a=(50, 50, 80))
    assert not watched.later(TRANSACTION_S / 2, a=(50, 50, 90)), "it may well end"
    found = watched.later(TRANSACTION_S, a=(50, 50, 95))
    assert list(found) == ["transaction e/0"]
    assert "began at offset 50 of e/0" in found["transaction e/0"]
    assert "the 45 offsets from there on wait" in found["transaction e/0"]
    assert not watched.later(1, a=(95, 95, 95))


def test_transactions_that_follow_one_another_are_none() -> None:
    watched = Watched()
    for number in range(10):
        assert not watched.later(TRANSACTION_S * 0.9, a=(10 * number, 10 * number, 10 * number + 9))


def test_lag_that_does_not_move_is_said_before_the_watchdog_ends_the_worker() -> None:
    watched = Watched()
    assert not watched.later(0, a=(50, 80, 80))
    assert not watched.later(LAG_S, a=(50, 85, 85))
    assert "35 offsets of e/0 wait" in watched.later(1, a=(50, 85, 85))["lag e/0"]
    assert not watched.later(1, a=(51, 85, 85))


def test_lag_that_grows_and_grows_is_said() -> None:
    watched, found = Watched(), dict[str, str]()
    for step in range(GROWTH_STEPS + 2):
        assert not found, "not before it has grown for five minutes"
        found = watched.later(GROWTH_S, a=(step, 2 * GROWTH_MIN + 900 * step, 2 * GROWTH_MIN + 900 * step))
    assert list(found) == ["growing lag e/0"]
    assert "start another worker" in found["growing lag e/0"]
    assert not watched.later(GROWTH_S, a=(8_000, 8_100, 8_100))


def test_a_source_partition_that_falls_silent_is_said_and_one_that_never_spoke_is_not() -> None:
    watched = Watched()
    watched.later(0, a=(9, 9, 9), b=(5, 5, 5), p=(7, 7, 7))
    found = watched.later(SILENCE_S + 1, a=(9, 9, 9), b=(6, 6, 6), p=(7, 7, 7))
    assert list(found) == ["silence e/0"]
    assert "nothing is written to e/0 for 15 minutes, and to others there is" in found["silence e/0"]
    assert not watched.later(1, a=(10, 10, 10), b=(6, 6, 6))
    empty = Watched()
    empty.later(0, a=(0, 0, 0), b=(5, 5, 5))
    assert not empty.later(SILENCE_S + 1, a=(0, 0, 0), b=(6, 6, 6))


def test_a_topic_that_is_silent_as_a_whole_is_said_once() -> None:
    watched = Watched()
    watched.later(0, a=(9, 9, 9), b=(5, 5, 5))
    found = watched.later(SILENCE_S + 1, a=(9, 9, 9), b=(5, 5, 5))
    assert found == {"silence e": "nothing is written to e for 15 minutes"}


def test_a_stream_that_sleeps_every_night_is_silent_only_after_much_more() -> None:
    watched, night_s = Watched(), 8 * 3_600.0
    watched.later(0, a=(9, 9, 9))
    assert "silence e" in watched.later(night_s, a=(9, 9, 9)), "the first night nobody can know"
    assert not watched.later(1, a=(10, 10, 10))
    assert not watched.later(night_s, a=(10, 10, 10))
    assert "silence e" in watched.later(SILENCE_TIMES * night_s, a=(10, 10, 10))


def test_what_is_not_known_yet_or_has_gone_is_no_news() -> None:
    watched = Watched()
    watched.later(0, a=(None, None, None), b=(5, 9, 9))
    assert not watched.later(10 * SILENCE_S, a=(None, None, None))
    assert not watched.later(1, b=(5, 9, 9)), "it has come back and starts anew"
