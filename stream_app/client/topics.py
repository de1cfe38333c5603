"""Signals from their topic, by kafka-python (:func:`follow`) and by aiokafka (:func:`follow_async`).

All partitions are read by one reader, which keeps its place under the name of a consumer group where it has one: a
signal counts as read once the next one is asked for, so that none is lost and the last one may come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Any

from kafka import TopicPartition as Partition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from stream_app.client.taking import R, Signal, Taker
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import readable_end, reading
from stream_app.kafka.reading import follow as follow_on
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import ConsumerRecord, TopicPartition

log = logging.getLogger(__name__)

_POLL_MS = 500
_RECORDS_MAX = 1_000
_NOT_KEPT = "the place of group %s is not kept, so that what was read since comes again: %s"


def follow(config: Config, taker: Taker[R], forever: bool, group: str = "") -> Iterator[Signal[R]]:
    """Signals of the topic; see :func:`stream_app.client.signals.signals`."""
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client | ({"group_id": group} if group else {}), config.topics.signals) as (consumer, partitions):
        consumer.assign(_there(config, partitions))
        places = dict[TopicPartition, int]()
        try:
            for message in _records(consumer, forever):
                signal = taker.take(config.stream, message.value, message.headers, _place(message))
                if signal is not None:
                    yield signal
                places[Partition(message.topic, message.partition)] = message.offset + 1
                if signal is not None:
                    _keep(consumer, group, places)
        finally:
            _keep(consumer, group, places)


def _keep(consumer: Any, group: str, places: dict[TopicPartition, int]) -> None:
    """Keep how far a group has read; where that fails, what came since comes again."""
    if group and places:
        try:
            consumer.commit({tp: OffsetAndMetadata(offset, "", -1) for tp, offset in places.items()})
            places.clear()
        except KafkaError as error:
            log.warning(_NOT_KEPT, group, error)


def _records(consumer: Any, forever: bool) -> Iterator[ConsumerRecord]:
    yield from read_to_end(consumer)
    if forever:
        yield from follow_on(consumer, log.warning)


async def follow_async(
    config: Config, taker: Taker[R], forever: bool, group: str = ""
) -> AsyncGenerator[Signal[R], None]:
    """Signals of the topic, in an event loop; see :func:`stream_app.client.signals.signals`."""
    import aiokafka

    settings = client_settings(config.kafka, config.root) | reading(config.kafka)
    numbers = [tp.partition for tp in await asyncio.to_thread(_partitions, config)]
    consumer = aiokafka.AIOKafkaConsumer(
        **settings, group_id=group or None, auto_offset_reset="earliest", enable_auto_commit=False
    )
    places = _AsyncPlaces(consumer, group)
    try:
        await consumer.start()
        places.assign(config.topics.signals, numbers)
        while True:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_MAX)
            for message in (message for tp in sorted(fetched) for message in fetched[tp]):
                signal = taker.take(config.stream, message.value, message.headers, _place(message))
                if signal is not None:
                    yield signal
                places.read(message)
                if signal is not None:
                    await places.keep()
            if not fetched and not forever and await _at_end(config, consumer):
                return
            places.assign(config.topics.signals, consumer.partitions_for_topic(config.topics.signals) or ())
    except aiokafka.errors.KafkaError as error:
        raise DriftflowError(
            f"topic {config.topics.signals} cannot be read: {error}; check kafka.bootstrap and the broker"
        ) from error
    finally:
        await places.keep()
        await consumer.stop()


class _AsyncPlaces:
    """How far an aiokafka consumer has handed out each partition."""

    def __init__(self, consumer: Any, group: str) -> None:
        self._consumer, self._group = consumer, group
        self._next: dict[Any, int] = {}
        self._unkept: dict[Any, int] = {}

    def assign(self, topic: str, numbers: Iterable[int]) -> None:
        """Read these partitions, those that are new from their beginning."""
        import aiokafka

        wanted = {aiokafka.TopicPartition(topic, number) for number in numbers}
        if wanted - self._consumer.assignment():
            self._consumer.assign(sorted(wanted))
            for tp, offset in self._next.items():
                self._consumer.seek(tp, offset)

    def read(self, message: Any) -> None:
        """A message has been dealt with."""
        import aiokafka

        tp = aiokafka.TopicPartition(message.topic, message.partition)
        self._next[tp] = self._unkept[tp] = message.offset + 1

    async def keep(self) -> None:
        """Keep how far the group has read; where that fails, what came since comes again."""
        import aiokafka

        if self._group and self._unkept:
            try:
                await self._consumer.commit(self._unkept)
                self._unkept = {}
            except aiokafka.errors.KafkaError as error:
                log.warning(_NOT_KEPT, self._group, error)


async def _at_end(config: Config, consumer: Any) -> bool:
    """Whether all was read, by what the fetches tell; see :mod:`stream_app.kafka.reading`."""
    ends = {
        tp: readable_end(consumer.highwater(tp), consumer.last_stable_offset(tp), config.kafka)
        for tp in consumer.assignment()
    }
    return all([end is not None and await consumer.position(tp) >= end for tp, end in ends.items()])


def _partitions(config: Config) -> Sequence[TopicPartition]:
    with reader(client_settings(config.kafka, config.root), config.topics.signals) as (_, partitions):
        return _there(config, partitions)


def _there(config: Config, partitions: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    if not partitions:
        raise DriftflowError(
            f"topic {config.topics.signals} does not exist: start `driftflow worker` once, it creates the topics"
        )
    return partitions


def _place(message: ConsumerRecord) -> tuple[str, int, int]:
    return message.topic, message.partition, message.offset
