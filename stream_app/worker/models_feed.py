"""Follows the compacted models topic: verifies, rebuilds, compiles and hands over each promoted model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer

from flowlib.density import Density
from schemas.codecs import DecodeError, decode_event
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.types import AsyncConsumer, ConsumerRecord
from stream_app.models.keys import trusted_keys
from stream_app.models.loading import artifact_of, check_stream, scored_by, verified

log = logging.getLogger(__name__)

_POLL_MS = 1_000
_FETCH_BYTES_MAX = 64 * 1024 * 1024

OnNotice = Callable[[ModelNotice, Density | None], Awaitable[None]]


class ModelsFeed:
    """Reads the models topic from its beginning, outside any consumer group: every worker wants every model.

    Args:
        config: the stream.
        on_notice: awaited for each notice in order; the density is None for a refused candidate.

    Attributes:
        caught_up: set once all that was on the topic has been taken.
        refused: notices whose bytes were not accepted.
    """

    def __init__(self, config: Config, on_notice: OnNotice) -> None:
        self._config, self._on_notice = config, on_notice
        self._trusted = trusted_keys(config)
        self.caught_up = asyncio.Event()
        self.refused = 0

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        consumer: AsyncConsumer = AIOKafkaConsumer(
            self._config.topics.models,
            **client_settings(self._config.kafka, self._config.root),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            fetch_max_bytes=_FETCH_BYTES_MAX,
        )
        await consumer.start()
        try:
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for record in (record for records in fetched.values() for record in records):
                    await self._take(record)
                if not self.caught_up.is_set() and await _at_end(consumer):
                    self.caught_up.set()
        finally:
            await consumer.stop()

    async def _take(self, record: ConsumerRecord) -> None:
        where = f"{record.topic}/{record.partition}@{record.offset}"
        try:
            notice = decode_event(record.value, record.headers)
        except DecodeError as error:
            self._refuse(f"Model notice at {where}", error)
            return
        if not isinstance(notice, ModelNotice) or notice.stream != self._config.stream:
            return
        try:
            density = await self._density(notice) if notice.status == "promoted" else None
        except ModelError as error:
            self._refuse(f"Model {notice.model_id} at {where}", error)
            return
        await self._on_notice(notice, density)

    async def _density(self, notice: ModelNotice) -> Density:
        density = await asyncio.to_thread(verified, artifact_of(notice), self._trusted)
        check_stream(density, self._config)
        return await asyncio.to_thread(scored_by, self._config, density, time.perf_counter)

    def _refuse(self, what: str, error: Exception) -> None:
        log.error("%s refused: %s. The model in service stays.", what, error)
        self.refused += 1


async def _at_end(consumer: AsyncConsumer) -> bool:
    """Whether everything was fetched, by the high watermark of the fetches: see :mod:`stream_app.kafka.reading`."""
    ends = {tp: consumer.highwater(tp) for tp in consumer.assignment()}
    return bool(ends) and all([end is not None and await consumer.position(tp) >= end for tp, end in ends.items()])
