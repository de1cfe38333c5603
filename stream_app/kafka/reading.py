"""Reading topics to their end, outside any consumer group.

A poll without records does not mean the end: the broker may be slow. The offset that ListOffsets gives is too small on
some brokers. The high watermark that comes with a fetch is right on all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import KafkaError

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.types import ClientSettings, Consumer, ConsumerRecord, TopicPartition

PATIENCE_S = 30.0
"""How long a broker may take to say where a partition ends."""

_POLL_MS = 500
_CONNECT_MS = 10_000
"""How long a broker may take to answer at all."""


@contextmanager
def reader(client: ClientSettings, topic: str) -> Iterator[tuple[Consumer, list[TopicPartition]]]:
    """A consumer outside any group, with nothing assigned, and the partitions of a topic: none where it does not exist.

    Args:
        client: connection settings.
        topic: what is going to be read.

    Raises:
        DriftflowError: in place of every KafkaError, of the ``with`` block too.
    """
    try:
        consumer = KafkaConsumer(
            **client, enable_auto_commit=False, auto_offset_reset="earliest", bootstrap_timeout_ms=_CONNECT_MS
        )
        try:
            numbers = retried(lambda: consumer.partitions_for_topic(topic))
            yield consumer, [Partition(topic, number) for number in sorted(numbers or ())]
        finally:
            consumer.close()
    except KafkaError as error:
        raise DriftflowError(
            f"topic {topic} cannot be read: {told(error)}; check kafka.bootstrap and the broker"
        ) from error


def read_to_end(consumer: Consumer) -> Iterator[ConsumerRecord]:
    """Records of the partitions assigned to a kafka-python consumer, from its positions to the end; partitions in turn.

    Raises:
        DriftflowError: the broker does not answer.
    """
    quiet_since_s = time.monotonic()
    while True:
        fetched = consumer.poll(timeout_ms=_POLL_MS, max_records=1_000)
        for _, records in sorted(fetched.items(), key=lambda item: item[0].partition):
            yield from records
        if fetched:
            quiet_since_s = time.monotonic()
        elif all(_at_end(consumer, tp) for tp in consumer.assignment()):
            return
        elif time.monotonic() - quiet_since_s > PATIENCE_S:
            raise DriftflowError(_silence(consumer))


def end_of(consumer: Consumer, tp: TopicPartition) -> int:
    """Offset after the last record of an assigned partition; fetches, so positions move.

    Raises:
        DriftflowError: the broker does not answer.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while (end := consumer.highwater(tp)) is None:
        if time.monotonic() > deadline_s:
            raise DriftflowError(_silence(consumer))
        consumer.poll(timeout_ms=_POLL_MS, max_records=1)
    return int(end)


def log_ends(config: Config, client: ClientSettings) -> dict[int, int]:
    """End offset of each events partition.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    ends = {}
    with reader(client, config.topics.events) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {config.topics.events} does not exist or is empty: produce events first")
        for tp in partitions:
            consumer.assign([tp])
            consumer.seek(tp, 0)
            ends[tp.partition] = end_of(consumer, tp)
    return ends


def _at_end(consumer: Consumer, tp: TopicPartition) -> bool:
    end = consumer.highwater(tp)
    return end is not None and consumer.position(tp) >= end


def _silence(consumer: Consumer) -> str:
    where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(consumer.assignment()))
    return f"the broker has not answered for {PATIENCE_S:.0f} s about {where}: look at its log, and try again"
