"""Reads exactly the offsets a request names, with a consumer of its own (no group, nothing committed)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
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


def read_ranges(
    config: Config,
    ranges: list[OffsetRange],
    client: dict[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[EventBatch]:
    """Decode the rows of offset ranges; undecodable rows are left out (they are dead letters already).

    Args:
        config: the stream.
        ranges: what to read.
        client: kafka-python connection settings.
        progress: called with (rows read, rows wanted).

    Raises:
        DriftflowError: when the broker no longer has the offsets, or stops answering.
    """
    wanted = {TopicPartition(r.topic, r.partition): r for r in ranges if r.end > r.start}
    total, done, decoder = sum(r.end - r.start for r in wanted.values()), 0, Decoder(config)
    consumer = KafkaConsumer(
        **client,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=config.kafka.max_poll_records,
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    try:
        consumer.assign(list(wanted))
        # What retention has deleted since the request cannot be read; the rest of the range still can.
        kept = consumer.beginning_offsets(list(wanted))
        for tp, part in list(wanted.items()):
            if kept[tp] >= part.end:
                log.warning("%s/%d: retention has deleted every offset asked for (below %d)", *tp, part.end)
                consumer.pause(tp)
                del wanted[tp]
            else:
                consumer.seek(tp, max(part.start, kept[tp]))
        heard = time.monotonic()
        while wanted:
            for tp, records in consumer.poll(timeout_ms=500).items():
                if tp not in wanted or not records:
                    continue
                heard, part = time.monotonic(), wanted[tp]
                rows = [record for record in records if record.offset < part.end]
                if rows:
                    yield decoder.decode(_raw(tp, rows))[0]
                done += len(rows)
                if progress is not None:
                    progress(done, total)
                if records[-1].offset + 1 >= part.end:
                    consumer.pause(tp)
                    del wanted[tp]
            if time.monotonic() - heard > _STALL_S:
                left = ", ".join(f"{tp.topic}/{tp.partition} up to {part.end}" for tp, part in wanted.items())
                raise DriftflowError(
                    f"no rows for {_STALL_S:.0f} s while reading {left}: does the topic still hold these offsets?"
                )
    finally:
        consumer.close()


def _raw(tp: Any, rows: list[Any]) -> RawBatch:
    offsets = np.array([row.offset for row in rows], dtype=np.int64)
    return RawBatch(tp.topic, tp.partition, offsets, [row.value for row in rows])
