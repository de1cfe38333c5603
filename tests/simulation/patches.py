"""Puts the broker, the clock and the disk of a run in the places of the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import stream_app.disk
from stream_app.kafka.types import TopicPartition
from stream_app.stages.partitioning import signals_size
from stream_app.worker import (
    actions_feed,
    agents,
    batch_transport,
    deciding,
    feeds,
    files,
    growth,
    header_names,
    journal,
    judging,
    kafka_state,
    logs,
    models_feed,
    partitions,
    sending,
    told,
)
from stream_app.worker.status import FRESH_S
from tests.simulation.broker import FeedReader, Reader
from tests.simulation.cast import WIDTH, cast
from tests.simulation.full_disk import SimOs
from tests.simulation.topics_store import SimSecrets, SimUnread, StateProducer, StateReader
from tests.simulation.virtual import CURRENT, Clock


def _world() -> Any:
    return CURRENT.get().world


def _install(app: Any, batch_topics: Any, max_chunk: int, **hooks: Any) -> None:
    app.hooks.update(hooks)


async def _density(feed: Any, notice: Any) -> Any:
    return cast().models[notice.model_id]


def _feed_reader(topic: str, **settings: Any) -> FeedReader:
    return FeedReader(_world().broker, topic, asyncio.sleep)


@contextlib.contextmanager
def _reader(client: Any, topic: str) -> Iterator[tuple[Reader, list[TopicPartition]]]:
    broker = _world().broker
    yield Reader(broker), broker.partitions(topic)


def _look(config: Any, partitions: Any) -> Any:
    return _world().broker.look(partitions)


def _unread(config: Any) -> dict[int, int | None]:
    """As :func:`stream_app.worker.status.unread`, without the files."""
    world = _world()
    fresh = [status for at_s, status in world.statuses.values() if world.loop.time() - at_s < FRESH_S]
    return {partition: lag for status in fresh for partition, lag in status.unread.items()}


async def _known(app: Any, topic: str) -> set[int]:
    return {tp.partition for tp in _world().broker.partitions(topic)}


def _enlarge(config: Any) -> None:
    """As :func:`stream_app.kafka.topics.ensure_topics`: a signals partition for each source partition."""
    broker, topics = _world().broker, config.topics
    while len(broker.partitions(topics.signals)) < signals_size(len(broker.partitions(topics.events)), WIDTH):
        broker.grow(topics.signals)


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """For as long as the block runs, whatever number of runs there are in it."""
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("stream_app.worker.") and getattr(module, "time", None) is time:
                stack.enter_context(patch.object(module, "time", Clock()))
        for place, name, stands_in in [
            (stream_app.disk, "os", SimOs()),
            (agents, "make_app", lambda config: CURRENT.get().app),
            (header_names, "take_any", lambda: None),
            (batch_transport, "install", _install),
            (batch_transport, "batch_topic", lambda app, topic: topic),
            *((place, "unread", _unread) for place in (deciding, files) if hasattr(place, "unread")),
            (feeds, "AIOKafkaConsumer", _feed_reader),
            (models_feed.ModelsFeed, "_density", _density),
            (logs, "look", _look),
            (told, "look", _look),
            (actions_feed, "look", _look),
            (told, "reader", _reader),
            (sending, "known_to_producer", _known),
            (growth, "ensure_topics", _enlarge),
            *((place, "AIOKafkaProducer", StateProducer) for place in (kafka_state, journal)),
            *((place, "AIOKafkaConsumer", StateReader) for place in (kafka_state, journal)),
            (kafka_state, "Unread", SimUnread),
            (kafka_state, "CHUNK_BYTES", 1_500),
            (journal, "secrets", SimSecrets()),
            (judging, "_WAIT_S", 0.3),
            (partitions.Partitions.__init__, "__defaults__", (Clock().monotonic,)),
        ]:
            stack.enter_context(patch.object(place, name, stands_in))
        yield
