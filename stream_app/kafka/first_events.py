"""What the events topic begins with."""

from __future__ import annotations

from itertools import islice

from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import Consumer, TopicPartition
from stream_app.stages.score.first_events import FirstEvents


def look_at_first(config: Config) -> FirstEvents:
    """Look at the first events of the topic: at an even share of every partition, since keys part what differs, and
    then at what is still wanted of any.

    Raises:
        DriftflowError: the broker refuses, or does not answer.
    """
    first, wanted = FirstEvents(config.event), config.event.first_events
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, config.topics.events) as (consumer, partitions):
        at = dict.fromkeys(partitions, 0)
        for most in (-(-wanted // max(len(partitions), 1)), wanted):
            for tp in partitions:
                if not first.enough:
                    at[tp] = _look(consumer, tp, at[tp], most, first)
    return first


def _look(consumer: Consumer, tp: TopicPartition, start: int, most: int, first: FirstEvents) -> int:
    """Look at the next records of a partition; returns the offset after them."""
    consumer.assign([tp])
    consumer.seek(tp, start)
    for record in islice(read_to_end(consumer), most):
        first.take([record.value])
        start = record.offset + 1
        if first.enough:
            break
    return start
