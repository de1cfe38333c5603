"""Follows the compacted models topic: verifies, rebuilds, compiles and hands over each promoted model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer

from flowlib.density import Density
from schemas.codecs import DecodeError, decode_event
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import trusted_keys
from stream_app.models.loading import artifact_of, check_stream, scored_by, verified

log = logging.getLogger(__name__)

_POLL_MS = 1_000

OnNotice = Callable[[ModelNotice, Density | None], Awaitable[None]]


class ModelsFeed:
    """Reads the models topic from its beginning, outside any consumer group: every worker wants every model.

    Args:
        config: the stream.
        client: connection settings.
        on_notice: awaited for each notice in order; the density is None for a refused candidate.
    """

    def __init__(self, config: Config, client: dict[str, Any], on_notice: OnNotice) -> None:
        self._config, self._client, self._on_notice = config, client, on_notice
        self._trusted = trusted_keys(config)
        self.caught_up = asyncio.Event()
        self.refused = 0
        """Models whose bytes were not accepted."""

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        consumer = AIOKafkaConsumer(
            self._config.topics.models,
            **self._client,
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=64 * 1024 * 1024,
            fetch_max_bytes=64 * 1024 * 1024,
        )
        await consumer.start()
        try:
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for records in fetched.values():
                    for record in records:
                        await self._take(record)
                if not self.caught_up.is_set() and await _at_end(consumer):
                    self.caught_up.set()
        finally:
            await consumer.stop()

    async def _take(self, record: Any) -> None:
        where = f"{record.topic}/{record.partition}@{record.offset}"
        try:
            notice = decode_event(record.value, record.headers)
        except DecodeError as error:
            log.error("Model notice at %s refused: %s. The model in service stays.", where, error)
            self.refused += 1
            return
        if not isinstance(notice, ModelNotice) or notice.stream != self._config.stream:
            return
        if notice.status != "promoted":
            await self._on_notice(notice, None)
            return
        try:
            density = await asyncio.to_thread(verified, artifact_of(notice), self._trusted)
            check_stream(density, self._config)
            density = await asyncio.to_thread(scored_by, self._config, density, time.perf_counter)
        except ModelError as error:
            log.error("Model %s at %s refused: %s. The model in service stays.", notice.model_id, where, error)
            self.refused += 1
            return
        await self._on_notice(notice, density)


async def _at_end(consumer: AIOKafkaConsumer) -> bool:
    """Silence is no end, the broker may be slow; nor is what ListOffsets says on every broker: what came with a fetch is."""
    ends = {tp: consumer.highwater(tp) for tp in consumer.assignment()}
    known = bool(ends) and all(end is not None for end in ends.values())
    return known and all([await consumer.position(tp) >= end for tp, end in ends.items()])
