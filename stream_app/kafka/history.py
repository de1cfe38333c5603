"""The events topic from its beginning to its end, as batches: what a worker would have been given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import ConsumerRecord
from stream_app.stages.batches import RawBatch

BATCH_ROWS = 4_000
"""Rows of a batch; results do not depend on it."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is on a topic.

    Attributes:
        sources: its partitions.
        batches: all of them, each of one partition.
    """

    sources: int
    batches: Iterator[RawBatch]


@contextmanager
def past_of(config: Config) -> Iterator[Past]:
    """The events topic, outside any consumer group.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    topic = config.topics.events
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: look at topics.events and at kafka.bootstrap")
        consumer.assign(partitions)
        yield Past(len(partitions), _batched(topic, read_to_end(consumer)))


def _batched(topic: str, records: Iterator[ConsumerRecord]) -> Iterator[RawBatch]:
    waiting: dict[int, list[ConsumerRecord]] = {}
    for record in records:
        of_partition = waiting.setdefault(record.partition, [])
        of_partition.append(record)
        if len(of_partition) >= BATCH_ROWS:
            yield _batch(topic, record.partition, waiting.pop(record.partition))
    for partition, of_partition in sorted(waiting.items()):
        yield _batch(topic, partition, of_partition)


def _batch(topic: str, partition: int, records: list[ConsumerRecord]) -> RawBatch:
    offsets = np.array([record.offset for record in records], dtype=np.int64)
    return RawBatch(topic, partition, offsets, [record.value for record in records])
