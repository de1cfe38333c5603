"""Composites: the records of one partition that one fetch brought, as one message of Faust's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

import numpy as np

from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.worker.acks import Token


class Chunk(list[ConsumerRecord]):
    """Consecutive records of one partition: the ``value`` of a composite event. Never empty."""

    __slots__ = ("token", "tp")

    def __init__(self, tp: TopicPartition, records: Iterable[ConsumerRecord], token: Token) -> None:
        super().__init__(records)
        self.tp, self.token = tp, token

    def raw_batch(self) -> RawBatch:
        """Its records as SCORE takes them."""
        return RawBatch(
            self.tp.topic,
            self.tp.partition,
            np.array([record.offset for record in self], dtype=np.int64),
            [record.value for record in self],
        )

    def partials(self) -> list[PartialMessage]:
        """Its records as WATCH takes them."""
        return [PartialMessage(record.offset, record.value, record.headers) for record in self]


class CompositeEvent(Protocol):
    """What is used of a Faust event whose value is a composite."""

    @property
    def value(self) -> Chunk: ...
    def ack(self) -> bool: ...


class CompositeStream(Protocol):
    """What is used of a Faust stream of composites."""

    def noack(self) -> CompositeStream: ...
    def events(self) -> AsyncIterator[CompositeEvent]: ...


def is_current(event: CompositeEvent) -> bool:
    """Whether an ack of this event still counts: False once its partition was revoked or sought."""
    return event.value.token.live
