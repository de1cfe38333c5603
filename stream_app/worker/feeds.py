"""Follows a topic of ours from its beginning, outside any group, and believes what a trusted key has signed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer

from flowlib.artifact import Ed25519PublicKey
from schemas.intake import Refusal
from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import readable_end, reading
from stream_app.kafka.types import AsyncConsumer, ConsumerRecord
from stream_app.models.keys import Trust
from stream_app.stages.outputs import Outgoing
from stream_app.terminal import Seldom
from stream_app.worker.damages import Damage, Damages
from stream_app.worker.fetching import Columns, hand_out_columns, prepare
from stream_app.worker.reports import Reports

log = logging.getLogger(__name__)

_POLL_MS = 1_000
_FETCH_BYTES_MAX = 64 * 1024 * 1024

OnRefused = Callable[[Outgoing, Reports], Awaitable[None]]
Keys = Mapping[str, Ed25519PublicKey]


class Feed:
    """Reads a topic from its beginning. What it is for says :meth:`_taken`.

    Args:
        config: the stream.
        topic: its name.
        trust: whose messages are believed.
        reports: of the messages that are refused.
        on_refused: awaited for each refusal that was not reported before, with its dead letter and with what is to be
            acked once the broker has taken that.
        beat: called once for each poll: it is alive.

    Attributes:
        caught_up: set once all that was on the topic has been taken.
        taken: messages of the topic that were genuine, news or not.

    Raises:
        ModelError: a trusted key is damaged.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        trust: Trust,
        reports: Reports,
        on_refused: OnRefused,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._topic, self._on_refused, self._beat = config, topic, on_refused, beat
        self._trust, self._reports = trust, reports
        self._keys: Keys = trust.keys()
        self._not_enough: Keys | None = None
        """The keys by which a message was refused because none of them had signed it."""
        self._damaged_keys = Seldom(log.error)
        self.caught_up = asyncio.Event()
        self.taken = 0

    @property
    def refused(self) -> int:
        """Messages of the topic that were not accepted."""
        return self._reports.count

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        prepare()
        consumer: AsyncConsumer = AIOKafkaConsumer(
            self._topic,
            **client_settings(self._config.kafka, self._config.root),
            **reading(self._config.kafka),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            fetch_max_bytes=_FETCH_BYTES_MAX,
        )
        hand_out_columns(consumer, Columns(damages=Damages(self._met)))
        self._begin()
        await consumer.start()
        try:
            while await self._goes_on():
                self._beat()
                if self._is_to_begin_again() and consumer.assignment():
                    self._begin()
                    await consumer.seek_to_beginning()
                await self._poll(consumer)
                if not self.caught_up.is_set() and await self._at_end(consumer):
                    self._reports.sum_up()
                    self.caught_up.set()
        finally:
            await consumer.stop()

    def _met(self, damage: Damage) -> None:
        if damage.passed_over:
            log.error(
                "%s/%d@%d is damaged in the broker's log (%s) and is passed over: send again what was there, and look "
                "at the disk of the broker",
                *damage.tp,
                damage.start,
                damage.why,
            )

    async def _goes_on(self) -> bool:
        """Whether the topic is still to be followed."""
        return True

    def _is_to_begin_again(self) -> bool:
        """Whether a key is trusted since that may have signed what was refused."""
        return self._not_enough is not None and self._trusted() is not self._not_enough

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
        refusal = await self._taken(record)
        if refusal is None:
            self.taken += 1
            return
        if refusal.reason == "untrusted_key":
            self._not_enough = self._keys
        letter = self._reports.letter(record, refusal)
        if letter is not None:
            await self._on_refused(letter, self._reports)

    async def _taken(self, record: ConsumerRecord) -> Refusal | None:
        """Take a message in; why it is refused, None where it is genuine."""
        raise NotImplementedError

    def _trusted(self) -> Keys:
        """The trusted keys as their files are now; as they were, while one is damaged."""
        self._keys = self._trust.steady_keys(self._damaged_keys)
        return self._keys
