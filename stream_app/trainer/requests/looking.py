"""Looks at the ends of a request's ranges: what the broker holds of them, and how late it is there in event time.

Ends are those that come with fetches: the offset that ListOffsets gives is too small on some brokers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from flowlib.table import Ints
from schemas.records import OffsetRange
from stream_app.config import Config
from stream_app.kafka.isolation import reading
from stream_app.kafka.retrying import retried
from stream_app.kafka.schema_registry import Registry, registry_of
from stream_app.kafka.stepping import poll_past
from stream_app.kafka.types import ClientSettings
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.trainer.requests.checking import Held, Seen

TAIL = 50
"""Records before the end of a range that are looked at."""

FEW = 5
"""So many events that are far ahead of the others are taken at their word."""

_ANSWER_MS = 20_000
_POLL_MS = 50
_FETCH_BYTES_MAX = 64 * 1024


def look(config: Config, client: ClientSettings, ranges: list[OffsetRange]) -> Seen:
    """What the events topic holds of some ranges, all of that topic.

    Raises:
        KafkaError: the broker does not answer.
        RegistryError: the schema registry has to be asked, and does not answer.
    """
    with _consumer(client | reading(config.kafka)) as consumer:
        topic = config.topics.events
        numbers = retried(lambda: consumer.partitions_for_topic(topic)) or set()
        wanted = {TopicPartition(topic, part.partition): part for part in ranges if part.partition in numbers}
        if not wanted:
            return Seen(len(numbers), {}, None)
        consumer.assign(list(wanted))
        held = _held(consumer, client, list(wanted))
        inside = {tp: part for tp, part in wanted.items() if held[tp].first < part.end <= held[tp].end}
        tails = _tails(Decoder(config), registry_of(config), consumer, client, inside, held)
        latest = [_latest(tail, inside[tp].end, config.windows.ahead_ms) for tp, tail in tails.items() if tail]
        by_number = {tp.partition: place for tp, place in held.items()}
        return Seen(len(numbers), by_number, max((time for time in latest if time is not None), default=None))


def _latest(tail: list[EventBatch], end: int, gap_max: int) -> int | None:
    """The newest time of a tail. The row at ``end`` closed the last pane: SCORE has taken it at its word, however far
    before it the rows of a backlog lie.
    """
    times = np.concatenate([batch.event_time_ms for batch in tail])
    closing = times[np.concatenate([batch.offsets for batch in tail]) == end]
    return int(closing[0]) if len(closing) else newest(times, gap_max)


def newest(times: Ints, gap_max: int) -> int | None:
    """The largest of some times, less the few that are further ahead of the others than ``gap_max``: one event with a
    wrong date must not make every date right. None where there are none.

    >>> newest(np.array([5, 6, 9_000, 7]), gap_max=100)
    7
    """
    ascending, last = np.sort(times), len(times) - 1
    for below in np.flatnonzero(np.diff(ascending) > gap_max)[::-1].tolist():
        if len(times) - 1 - below >= FEW:
            break
        last = below
    return int(ascending[last]) if len(times) else None


@contextmanager
def _consumer(client: ClientSettings) -> Iterator[Any]:
    consumer = KafkaConsumer(
        **client,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
    )
    try:
        yield consumer
    finally:
        consumer.close(timeout_ms=1_000)


def _held(consumer: Any, client: ClientSettings, parts: list[Any]) -> dict[Any, Held]:
    firsts = consumer.beginning_offsets(parts, timeout_ms=_ANSWER_MS)
    for tp, first in firsts.items():
        consumer.seek(tp, first)
    for _ in _polls(consumer, client):
        ends = {tp: consumer.highwater(tp) for tp in parts}
        if None not in ends.values():
            break
    return {tp: Held(firsts[tp], ends[tp]) for tp in parts}


def _tails(
    decoder: Decoder,
    registry: Registry | None,
    consumer: Any,
    client: ClientSettings,
    inside: dict[Any, OffsetRange],
    held: dict[Any, Held],
) -> dict[Any, list[EventBatch]]:
    """Events of the last records of each range and of the one after it, which closed its last pane."""
    consumer.assign(list(inside))
    ends = {tp: min(part.end + 1, held[tp].end) for tp, part in inside.items()}
    for tp, part in inside.items():
        consumer.seek(tp, max(held[tp].first, part.end - TAIL))
    tails: dict[Any, list[EventBatch]] = {tp: [] for tp in inside}
    for fetched in _polls(consumer, client) if inside else ():
        for tp, records in fetched.items():
            records = [record for record in records if record.offset < ends[tp]]
            offsets = np.array([record.offset for record in records], dtype=np.int64)
            values = [record.value for record in records]
            if registry is not None:
                registry.supply(decoder.schemas, values)
            batch, _ = decoder.decode(RawBatch(tp.topic, tp.partition, offsets, values))
            tails[tp].append(batch)
        if all((consumer.position(tp, timeout_ms=_ANSWER_MS) or 0) >= end for tp, end in ends.items()):
            break
    return tails


def _polls(consumer: Any, client: ClientSettings) -> Iterator[Any]:
    """What polls bring, until whoever asks has enough; raises KafkaTimeoutError when that takes too long."""
    deadline_s = time.monotonic() + _ANSWER_MS / 1000
    while time.monotonic() < deadline_s:
        yield poll_past(lambda: consumer.poll(timeout_ms=_POLL_MS), consumer, client, lambda _: None)
    where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(consumer.assignment()))
    raise KafkaTimeoutError(f"no answer for {_ANSWER_MS // 1000} s about {where}")
