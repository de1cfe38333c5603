"""Reads exactly the offsets a request names, with a consumer of its own (no group, nothing committed)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from schemas.records import OffsetRange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder

log = logging.getLogger(__name__)

_STALL_S = 30.0
_POLL_MS = 500
_FETCH_BYTES_MAX = 16 * 1024 * 1024

Wanted = dict[Any, OffsetRange]
"""Topic partition to the range that is still to be read."""


def read_ranges(config: Config, ranges: list[OffsetRange], client: dict[str, Any]) -> Iterator[EventBatch]:
    """Decode the rows of offset ranges; undecodable rows are left out (they are dead letters already).

    Args:
        config: the stream.
        ranges: what to read.
        client: kafka-python connection settings.

    Raises:
        DriftflowError: the broker does not hand out the rows.
    """
    wanted = {TopicPartition(r.topic, r.partition): r for r in ranges if r.end > r.start}
    decoder = Decoder(config)
    consumer = KafkaConsumer(
        **client,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=config.kafka.max_poll_records,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
    )
    try:
        consumer.assign(list(wanted))
        _seek(consumer, wanted)
        for tp, records in _fetch(consumer, wanted):
            offsets = np.array([record.offset for record in records], dtype=np.int64)
            yield decoder.decode(RawBatch(tp.topic, tp.partition, offsets, [record.value for record in records]))[0]
    finally:
        consumer.close()


def _seek(consumer: Any, wanted: Wanted) -> None:
    """Go to the start of each range, or to what retention has left of it; a range with nothing left is dropped."""
    beginnings = consumer.beginning_offsets(list(wanted))
    for tp, part in list(wanted.items()):
        if beginnings[tp] >= part.end:
            log.warning("%s/%d: retention has deleted every offset asked for (below %d)", *tp, part.end)
            _finish(consumer, wanted, tp)
        else:
            consumer.seek(tp, max(part.start, beginnings[tp]))


def _fetch(consumer: Any, wanted: Wanted) -> Iterator[tuple[Any, list[Any]]]:
    """``(topic partition, records)`` until every range has been read to its end."""
    answered_s = time.monotonic()
    while wanted:
        for tp, records in consumer.poll(timeout_ms=_POLL_MS).items():
            if tp not in wanted or not records:
                continue
            answered_s, end = time.monotonic(), wanted[tp].end
            inside = [record for record in records if record.offset < end]
            if inside:
                yield tp, inside
            if records[-1].offset + 1 >= end:
                _finish(consumer, wanted, tp)
        if time.monotonic() - answered_s > _STALL_S:
            left = ", ".join(f"{tp.topic}/{tp.partition} up to {part.end}" for tp, part in wanted.items())
            raise DriftflowError(
                f"no rows for {_STALL_S:.0f} s while reading {left}: does the topic still hold these offsets?"
            )


def _finish(consumer: Any, wanted: Wanted, tp: Any) -> None:
    consumer.pause(tp)
    del wanted[tp]
