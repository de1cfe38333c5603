"""How much is left is known once every high watermark is."""

from __future__ import annotations

from stream_app.kafka.types import TopicPartition
from stream_app.worker.progress import lag_of, lags_of

A, B, OTHER = TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("u", 0)


def test_lag_is_unknown_until_every_watermark_is() -> None:
    assert lag_of({A: (None, None), B: (3, 5)}) is None
    assert lag_of({}) is None
    assert lag_of({A: (None, 4), B: (3, 5)}) == 6


def test_lags_of_a_topic_are_told_by_partition() -> None:
    assert lags_of({A: (3, 5), B: (None, None), OTHER: (0, 9)}, "t") == {0: 2, 1: None}
