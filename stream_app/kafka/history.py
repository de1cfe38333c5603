"""The events topic, or a part of it, as batches: what a worker would have been given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.reading import end_of, read_to_end, reader
from stream_app.kafka.types import Consumer, ConsumerRecord, TopicPartition
from stream_app.stages.batches import RawBatch

BATCH_ROWS = 4_000
"""Rows of a batch; results do not depend on it."""

_ANSWER_MS = 10_000
"""How long the broker may take to say where the partitions begin."""


class Past:
    """What is on a topic, read any number of times.

    Args:
        consumer: outside any group.
        partitions: the topic's.
        first: offset of every partition to begin at; what retention has deleted is not there.
        end: offset of every partition to end before; None is where it ends now.

    Attributes:
        topic: its name.
        sources: how many partitions it has.
    """

    def __init__(self, consumer: Consumer, partitions: list[TopicPartition], first: int, end: int | None) -> None:
        self.topic, self.sources = partitions[0].topic, len(partitions)
        self._consumer, self._spans, self._at = consumer, dict[TopicPartition, range](), dict[TopicPartition, int]()
        begins = consumer.beginning_offsets(partitions, timeout_ms=_ANSWER_MS)
        for tp in partitions:
            consumer.assign([tp])
            consumer.seek(tp, begins[tp])
            last = end_of(consumer, tp)
            self._spans[tp] = range(max(begins[tp], first), last if end is None else min(end, last))

    @property
    def share(self) -> float | None:
        """How much of it the last reading has come through; None where there is nothing to read."""
        total = sum(map(len, self._spans.values()))
        done = sum(max(at - self._spans[tp].start, 0) for tp, at in self._at.items())
        return min(done / total, 1.0) if total else None

    def done(self) -> set[int]:
        """Partitions of which nothing more comes in this reading."""
        return {tp.partition for tp, span in self._spans.items() if self._at.get(tp, span.start) >= span.stop}

    def batches(self) -> Iterator[RawBatch]:
        """All of it from the beginning, each batch of consecutive records of one partition.

        Raises:
            DriftflowError: the broker does not answer, or a record cannot be read.
        """
        spans = {tp: span for tp, span in self._spans.items() if span}
        self._at = {tp: span.start for tp, span in spans.items()}
        if not spans:
            return
        self._consumer.assign(sorted(spans))
        for tp, span in spans.items():
            self._consumer.seek(tp, span.start)
        until = {tp: span.stop for tp, span in spans.items()}
        waiting: dict[TopicPartition, list[ConsumerRecord]] = {}
        for record in read_to_end(self._consumer, until=until):
            tp = TopicPartition(record.topic, record.partition)
            if record.offset >= until[tp]:
                continue
            of_partition = waiting.setdefault(tp, [])
            of_partition.append(record)
            if len(of_partition) >= BATCH_ROWS:
                yield _batch(tp, waiting.pop(tp))
                self._at[tp] = record.offset + 1
        for tp, of_partition in sorted(waiting.items()):
            yield _batch(tp, of_partition)
        self._at = until


def _batch(tp: TopicPartition, records: list[ConsumerRecord]) -> RawBatch:
    offsets = np.array([record.offset for record in records], dtype=np.int64)
    return RawBatch(tp.topic, tp.partition, offsets, [record.value for record in records])


@contextmanager
def past_of(config: Config, first: int = 0, end: int | None = None) -> Iterator[Past]:
    """The events topic, outside any consumer group; see :class:`Past`.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    topic = config.topics.events
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    require_reachable(config.kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: look at topics.events and at kafka.bootstrap")
        yield Past(consumer, partitions, first, end)
