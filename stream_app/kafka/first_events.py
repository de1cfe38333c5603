"""What the events topic begins with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.schema_registry import Registry, registry_of
from stream_app.kafka.types import Consumer, ConsumerRecord, TopicPartition
from stream_app.stages.score.first_events import FirstEvents
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.stages.score.objects import objects_of


def look_at_first(config: Config) -> FirstEvents:
    """Look at the first events of the topic: at an even share of every partition, since keys part what differs, and
    then at what is still wanted of any.

    Raises:
        DriftflowError: the broker or the schema registry refuses, or does not answer.
    """
    schemas, registry = Schemas(config), registry_of(config)
    first, wanted = FirstEvents(config.event, objects_of(config.event, schemas)), config.event.first_events
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, config.topics.events) as (consumer, partitions):
        at = dict.fromkeys(partitions, 0)
        for most in (-(-wanted // max(len(partitions), 1)), wanted):
            for tp in partitions:
                if not first.enough:
                    records = _next(consumer, tp, at[tp], most)
                    at[tp] = _look(records, at[tp], first, schemas, registry)
    return first


def _next(consumer: Consumer, tp: TopicPartition, start: int, most: int) -> Iterator[ConsumerRecord]:
    """The next records of a partition."""
    consumer.assign([tp])
    consumer.seek(tp, start)
    return islice(read_to_end(consumer), most)


def _look(
    records: Iterable[ConsumerRecord], start: int, first: FirstEvents, schemas: Schemas, registry: Registry | None
) -> int:
    """Look at records; returns the offset after them."""
    for record in records:
        if registry is not None:
            registry.supply(schemas, [record.value])
        first.take([record.value])
        start = record.offset + 1
        if first.enough:
            break
    return start
