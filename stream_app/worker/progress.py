"""How far a worker is with each of its partitions."""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.kafka.types import TopicPartition

Progress = Mapping[TopicPartition, tuple[int | None, int | None]]
"""Partition to the offset up to which everything is settled and the high watermark, None where not known yet."""


def lag_of(progress: Progress) -> int | None:
    """Records that are not settled yet, over all partitions; None as long as some high watermark is not known."""
    if not progress or any(high is None for _, high in progress.values()):
        return None
    return sum(max((high or 0) - (settled or 0), 0) for settled, high in progress.values())


def lags_of(progress: Progress, topic: str) -> dict[int, int | None]:
    """Records that are not settled yet, by partition of a topic; None where not known."""
    return {tp.partition: lag_of({tp: offsets}) for tp, offsets in progress.items() if tp.topic == topic}
