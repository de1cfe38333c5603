"""Composites: the records of one partition that one fetch brought, as one message of Faust's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, overload

from stream_app.kafka.record_batches import Block
from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.worker.acks import Token


class Chunk(Sequence[ConsumerRecord]):
    """Consecutive records of one partition: the ``value`` of a composite event. Never empty.

    Attributes:
        tp: the partition.
        rows: its records, as columns (:class:`Block`) where it is a source partition.
        token: waits for the ack.
    """

    __slots__ = ("rows", "token", "tp")

    def __init__(self, tp: TopicPartition, rows: Sequence[ConsumerRecord], token: Token) -> None:
        self.tp, self.rows, self.token = tp, rows, token

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ConsumerRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ConsumerRecord]: ...

    def __getitem__(self, index: int | slice) -> ConsumerRecord | Sequence[ConsumerRecord]:
        return self.rows[index]

    def raw_batch(self) -> RawBatch:
        """Its records as SCORE takes them, once: the chunk lets go of them, while it waits for its ack."""
        block = self.rows if isinstance(self.rows, Block) else Block.of(self.tp, self.rows)
        self.rows = ()
        return RawBatch(self.tp.topic, self.tp.partition, block.offsets, block.bodies)

    def partials(self) -> list[PartialMessage]:
        """Its records as WATCH takes them."""
        return [PartialMessage(record.offset, record.value, record.headers) for record in self.rows]


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
