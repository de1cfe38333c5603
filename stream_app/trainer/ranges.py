"""Reads exactly the offsets a request names, with a consumer of its own (no group, nothing committed)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from schemas.records import OffsetRange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.isolation import reading
from stream_app.kafka.schema_registry import registry_of
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.dropped import Dropped
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.readings import LocalTimes
from stream_app.trainer.data.rows import DELETED, RecordKeys
from stream_app.trainer.stopping import Stopping

log = logging.getLogger(__name__)

_STALL_S = 30.0
_POLL_MS = 500
_ANSWER_MS = 20_000
_FETCH_BYTES_MAX = 16 * 1024 * 1024

Wanted = dict[Any, OffsetRange]
"""Topic partition to the range that is still to be read."""


class RangesGone(DriftflowError):
    """The broker answers and does not hand out what it is asked for; a sentence about which offsets."""


def read_ranges(
    config: Config,
    ranges: list[OffsetRange],
    client: ClientSettings,
    stopping: Stopping | None = None,
    dropped: Dropped | None = None,
    keys: RecordKeys | None = None,
) -> Iterator[EventBatch]:
    """Decode the rows of offset ranges; undecodable rows are left out (they are dead letters already), and so are what
    retention has deleted and rows of aborted transactions, which were not scored either.

    Args:
        config: the stream.
        ranges: what to read.
        client: kafka-python connection settings.
        stopping: ends the reading.
        dropped: counts the rows that cannot be decoded, and the offsets that are deleted.
        keys: takes in the record keys of the others.

    Raises:
        RangesGone: the broker does not hand out the rows.
        KafkaError: it does not answer.
        RegistryError: the schema registry has to be asked, and does not answer.
        Stopped: told to.
    """
    wanted = {TopicPartition(r.topic, r.partition): r for r in ranges if r.end > r.start}
    dropped = dropped if dropped is not None else Dropped()
    decoder, times, registry = Decoder(config), LocalTimes(), registry_of(config)
    consumer = KafkaConsumer(
        **client,
        **reading(config.kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=config.kafka.max_poll_records,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
    )
    try:
        _seek(consumer, wanted, {tp: part.start for tp, part in wanted.items()}, dropped)
        for tp, records in _fetch(consumer, client, wanted, stopping or Stopping(), dropped):
            offsets = np.array([record.offset for record in records], dtype=np.int64)
            values = [record.value for record in records]
            if registry is not None:
                registry.supply(decoder.schemas, values)
            events, rejects = decoder.decode(RawBatch(tp.topic, tp.partition, offsets, values))
            for reject in rejects:
                dropped.add(reject.reason, reject.field, f"{tp.topic}/{tp.partition}@{reject.offset}: {reject.detail}")
            if keys is not None:
                keys.add(tp.partition, events.offsets, [records[row].key for row in events.rows.tolist()])
            yield times.read(events)
    finally:
        consumer.close(timeout_ms=1_000)


def _seek(consumer: Any, wanted: Wanted, positions: dict[Any, int], dropped: Dropped) -> None:
    """Go to the positions, or to what retention has left after them; a range with nothing left is dropped."""
    beginnings = consumer.beginning_offsets(list(wanted), timeout_ms=_ANSWER_MS)
    for tp, part in wanted.items():
        gone = min(beginnings[tp], part.end) - positions[tp]
        if gone > 0:
            dropped.add(DELETED, "", f"{tp.topic}/{tp.partition} up to offset {positions[tp] + gone:,}", gone)
    for tp in [tp for tp, part in wanted.items() if beginnings[tp] >= part.end]:
        log.warning("%s/%d: retention has deleted every offset asked for (below %d)", *tp, wanted.pop(tp).end)
    consumer.assign(list(wanted))  # a consumer wants a position of all that it is assigned
    for tp in wanted:
        consumer.seek(tp, max(positions[tp], beginnings[tp]))


def _fetch(
    consumer: Any, client: ClientSettings, wanted: Wanted, stopping: Stopping, dropped: Dropped
) -> Iterator[tuple[Any, list[Any]]]:
    """``(topic partition, records)`` until every range has been read to its end.

    By the consumer's position, not by the last record: at the end of a range there may be none, only the marker of a
    transaction, or what compaction has removed.
    """
    positions = {tp: consumer.position(tp, timeout_ms=_ANSWER_MS) or part.start for tp, part in wanted.items()}
    moved_s = time.monotonic()
    while wanted:
        stopping.check()
        for tp, records in _poll(consumer, client, wanted, positions, dropped).items():
            inside = [record for record in records if tp in wanted and record.offset < wanted[tp].end]
            if inside:
                yield tp, inside
        for tp, part in list(wanted.items()):
            position = consumer.position(tp, timeout_ms=_ANSWER_MS) or positions[tp]
            if position != positions[tp]:
                moved_s, positions[tp] = time.monotonic(), position
            if position >= part.end:
                consumer.pause(tp)
                del wanted[tp]
        if wanted and time.monotonic() - moved_s > _STALL_S:
            consumer.beginning_offsets(list(wanted), timeout_ms=_ANSWER_MS)  # raises where the broker is away
            raise RangesGone(f"no rows came for {_STALL_S:.0f} s while reading {_left(wanted, positions)}")


def _poll(
    consumer: Any, client: ClientSettings, wanted: Wanted, positions: dict[Any, int], dropped: Dropped
) -> dict[Any, list[Any]]:
    try:
        fetched: dict[Any, list[Any]] = poll_past(lambda: consumer.poll(timeout_ms=_POLL_MS), consumer, client, _say)
    except OffsetOutOfRangeError:  # retention has overtaken us
        _seek(consumer, wanted, positions, dropped)
        return {}
    return fetched


def _say(place: Place) -> None:
    (topic, number), offset, why = place
    log.warning("%s/%d@%d is left out: %s", topic, number, offset, why)


def _left(wanted: Wanted, positions: dict[Any, int]) -> str:
    return ", ".join(f"{tp.topic}/{tp.partition} from {positions[tp]:,} to {part.end:,}" for tp, part in wanted.items())
