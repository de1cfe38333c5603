"""Reading topics to their end, outside any consumer group.

Silence is no end: a broker may be slow. Nor is what ListOffsets says on every broker. The high watermark that comes with a
fetch is right on all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from stream_app.config import Config
from stream_app.errors import DriftflowError

PATIENCE_S = 30.0
"""How long a broker may take to say where a partition ends."""

_POLL_MS = 500


def read_to_end(consumer: Any) -> Iterator[Any]:
    """Records of the partitions assigned to a kafka-python consumer, from its positions to the end; partitions in turn.

    Raises:
        DriftflowError: the broker does not answer.
    """
    quiet_since = time.monotonic()
    while True:
        fetched = consumer.poll(timeout_ms=_POLL_MS, max_records=1_000)
        for _, records in sorted(fetched.items(), key=lambda item: item[0].partition):
            yield from records
        if fetched:
            quiet_since = time.monotonic()
        elif all(_at_end(consumer, tp) for tp in consumer.assignment()):
            return
        elif time.monotonic() - quiet_since > PATIENCE_S:
            raise DriftflowError(_silent(consumer))


def end_of(consumer: Any, tp: Any) -> int:
    """Where an assigned partition ends; fetches, so positions move.

    Raises:
        DriftflowError: the broker does not answer.
    """
    until = time.monotonic() + PATIENCE_S
    while consumer.highwater(tp) is None:
        if time.monotonic() > until:
            raise DriftflowError(_silent(consumer))
        consumer.poll(timeout_ms=_POLL_MS, max_records=1)
    return int(consumer.highwater(tp))


def log_ends(config: Config, client: dict[str, Any]) -> dict[int, int]:
    """End offset of each events partition.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    consumer = KafkaConsumer(**client, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=1)
    try:
        partitions = consumer.partitions_for_topic(config.topics.events)
        if not partitions:
            raise DriftflowError(f"topic {config.topics.events} does not exist or is empty: produce events first")
        ends = {}
        for partition in sorted(partitions):
            tp = TopicPartition(config.topics.events, partition)
            consumer.assign([tp])
            consumer.seek(tp, 0)
            ends[partition] = end_of(consumer, tp)
        return ends
    finally:
        consumer.close()


def _at_end(consumer: Any, tp: Any) -> bool:
    high = consumer.highwater(tp)
    return high is not None and consumer.position(tp) >= high


def _silent(consumer: Any) -> str:
    where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(consumer.assignment()))
    return f"the broker has not answered for {PATIENCE_S:.0f} s about {where}: look at its log, and try again"
