"""Follows the compacted models topic: verifies, rebuilds, compiles and hands over each model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer

from flowlib.artifact import Ed25519PublicKey
from flowlib.density import Density
from schemas.intake import Refusal
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import readable_end, reading
from stream_app.kafka.types import AsyncConsumer, ConsumerRecord
from stream_app.models.keys import Trust
from stream_app.models.loading import artifact_of, check_stream, scored_by, verified
from stream_app.models.sequence import Notices
from stream_app.stages.outputs import Outgoing
from stream_app.stages.points import model_point
from stream_app.terminal import Seldom
from stream_app.worker.reports import Reports

log = logging.getLogger(__name__)

_POLL_MS = 1_000
_FETCH_BYTES_MAX = 64 * 1024 * 1024

OnNotice = Callable[[ModelNotice, Density | None, bool], Awaitable[None]]
OnRefused = Callable[[Outgoing, Reports], Awaitable[None]]
Keys = Mapping[str, Ed25519PublicKey]


class ModelsFeed:
    """Reads the models topic from its beginning, outside any consumer group: every worker wants every model.

    Args:
        config: the stream.
        on_notice: awaited for each notice that is genuine and news, with its model (None for a refused candidate) and
            whether that is to be in service.
        on_refused: awaited for each refusal that was not reported before, with its dead letter and with what is to be
            acked once the broker has taken that.
        beat: called once for each poll: it is alive.

    Attributes:
        caught_up: set once all that was on the topic has been taken.
        taken: messages of the topic that were genuine notices, news or not.
        unusable: why the newest promoted model cannot be taken, where it cannot: an older one stays in service.

    Raises:
        ModelError: a trusted key is damaged.
    """

    def __init__(
        self, config: Config, on_notice: OnNotice, on_refused: OnRefused, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._config, self._on_notice, self._on_refused, self._beat = config, on_notice, on_refused, beat
        self._trust = Trust.of_models(config)
        self._keys: Keys = self._trust.keys()
        self._not_enough: Keys | None = None
        """The keys by which a message was refused because none of them had signed it."""
        self._notices, self._reports = Notices(config.stream), Reports(config)
        self._damaged_keys = Seldom(log.error)
        self.caught_up = asyncio.Event()
        self.taken = 0
        self.unusable = ""

    @property
    def refused(self) -> int:
        """Messages of the topic that were not accepted."""
        return self._reports.count

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        consumer: AsyncConsumer = AIOKafkaConsumer(
            self._config.topics.models,
            **client_settings(self._config.kafka, self._config.root),
            **reading(self._config.kafka),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            fetch_max_bytes=_FETCH_BYTES_MAX,
        )
        self._begin()
        await consumer.start()
        try:
            while True:
                self._beat()
                await self._poll(consumer)
                if not self.caught_up.is_set() and await self._at_end(consumer):
                    self._reports.sum_up()
                    self.caught_up.set()
                if self._not_enough is not None and self._trusted() is not self._not_enough:
                    self._begin()
                    await consumer.seek_to_beginning()
        finally:
            await consumer.stop()

    def _begin(self) -> None:
        """The topic is read from its beginning; what is known already is no news."""
        self.taken, self._not_enough = 0, None
        self._reports.begin()

    async def _at_end(self, consumer: AsyncConsumer) -> bool:
        """Whether everything was fetched, by what the fetches tell: see :mod:`stream_app.kafka.reading`."""
        ends = {
            tp: readable_end(consumer.highwater(tp), consumer.last_stable_offset(tp), self._config.kafka)
            for tp in consumer.assignment()
        }
        return bool(ends) and all([end is not None and await consumer.position(tp) >= end for tp, end in ends.items()])

    async def _poll(self, consumer: AsyncConsumer) -> None:
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        for tp, records in fetched.items():
            self._reports.ends_at(tp.partition, consumer.highwater(tp))
            for record in records:
                await self._take(record)

    async def _take(self, record: ConsumerRecord) -> None:
        notice = self._notices.take(record.value, record.headers, self._trusted())
        if isinstance(notice, ModelNotice) and not self._notices.knows(notice):
            notice = await self._hand_over(notice)
        if isinstance(notice, ModelNotice):
            self.taken += 1
            return
        if notice.reason == "untrusted_key":
            self._not_enough = self._keys
        letter = self._reports.letter(record, notice)
        if letter is not None:
            await self._on_refused(letter, self._reports)

    async def _hand_over(self, notice: ModelNotice) -> ModelNotice | Refusal:
        try:
            density = await self._density(notice) if notice.status == "promoted" else None
            model_point(notice)
        except Exception as error:  # signed or not: no notice stops a worker
            what = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            return self._refused(notice, f"model {notice.model_id}: {what}")
        if density is not None and self._notices.is_newest(notice):
            self.unusable = ""
        await self._on_notice(notice, density, self._notices.is_newest(notice))
        self._notices.enter(notice)
        return notice

    def _refused(self, notice: ModelNotice, why: str) -> Refusal:
        if notice.status == "promoted" and self._notices.is_newest(notice):
            self.unusable = f"the newest model cannot be used, so that a former one stays in service, or none: {why}"
        return Refusal("not_accepted", "", why)

    async def _density(self, notice: ModelNotice) -> Density:
        density = await asyncio.to_thread(verified, artifact_of(notice), self._keys)
        check_stream(density, self._config)
        return await asyncio.to_thread(scored_by, self._config, density, time.perf_counter)

    def _trusted(self) -> Keys:
        """The trusted keys as their files are now; as they were, while one is damaged."""
        try:
            self._keys = self._trust.keys()
        except ModelError as error:
            self._damaged_keys(f"{error}. The keys that were trusted before stay so.")
        return self._keys
