"""The decisions topic: one partition, kept for good, of which every worker of a stream reads all.

It is the judge of who may do what. Whoever takes a partition over says so here, and the offset of that line is the
*epoch* of its ownership: a decision counts only where its sender's epoch is that of the last claim before it. So every
reader has the same decisions in the same order, whatever a worker that was believed dead still writes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from typing import Annotated, Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from schemas.intake import header_map
from stream_app.config import Config
from stream_app.errors import DriftflowError, TakenOver
from stream_app.kafka.clients import client_settings
from stream_app.kafka.types import AsyncConsumer, ConsumerRecord
from stream_app.stages.decisions import Acted, Activated, Decision, Joined, PassedOver, Service
from stream_app.terminal import Seldom
from stream_app.worker.damages import all_of
from stream_app.worker.state import name_of

log = logging.getLogger(__name__)

NO_EPOCH = -1

REQUEST_MS = 60_000
"""How long the broker may take to acknowledge a record, with all tries."""

_MARK, _VERSION = "driftflow", b"1"
"""The header of our lines, with their form."""
_WAIT_MS = 50
_POLL_MS = 150
"""More than twice as long as a fetch waits at the broker: after a poll without records all was read that was there."""


class Shaped(msgspec.Struct, frozen=True, tag="shape"):
    """The shape of the stream (:mod:`stream_app.kafka.shape`); the first one counts."""

    shape: msgspec.Raw


class Housed(msgspec.Struct, frozen=True, tag="home"):
    """Where the state of a group is kept.

    Attributes:
        group: the consumer group.
        id: of the folder; ``kafka`` where it is kept in topics.
        where: host and folder, for people.
        moved: a person said so: it takes the place of the one before.
    """

    group: str
    id: str
    where: str
    moved: bool = False


class Claimed(msgspec.Struct, frozen=True, tag="claim"):
    """A worker takes a partition over.

    Attributes:
        name: of the partition.
        by: host and process, for people.
    """

    name: str
    by: str


Entry = Activated | PassedOver | Joined | Acted | Service | Shaped | Housed | Claimed


class Line(msgspec.Struct, frozen=True):
    """A record of the topic.

    Attributes:
        id: one that is sent twice, because its acknowledgement was lost, counts once.
        entry: what it says.
        epoch: of a decision: that of its sender.
    """

    id: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    entry: Entry
    epoch: int = NO_EPOCH


_DECODER = msgspec.json.Decoder(Line)


def myself() -> str:
    """Host and process, for people."""
    return f"{socket.gethostname()}-{os.getpid()}"


class Journal:
    """Follows the topic, and writes to it; all in one event loop.

    Args:
        config: the stream.

    Attributes:
        decisions: those that count, in order.
        claims: name to the epoch of its last claim.
        homes: group to where its state is kept.
        shape: of the stream; None before its first start.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._topic = config, config.topics.decisions
        self.decisions: list[Decision] = []
        self.claims: dict[str, int] = {}
        self.homes: dict[str, Housed] = {}
        self.shape: bytes | None = None
        self._strange = Seldom(log.error)
        self._ids: set[str] = set()
        self._counted: set[str] = set()
        self._next = self._round = self._quiet = 0
        """The offset after the last line; looks at the topic so far, and the last of them that found nothing."""
        self._turned = asyncio.Event()
        self._following: asyncio.Future[None] | None = None
        self._consumer: AsyncConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect, read all that is there, and go on reading."""
        client = client_settings(self._config.kafka, self._config.root)
        consumer = AIOKafkaConsumer(
            **client, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=_WAIT_MS
        )
        await consumer.start()
        consumer.assign([TopicPartition(self._topic, 0)])
        self._consumer = consumer
        self._following = asyncio.ensure_future(self._follow(consumer))
        await self.read()

    async def stop(self) -> None:
        """Disconnect."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        if self._consumer is not None:
            await self._consumer.stop()
        if self._producer is not None:
            await self._producer.stop()

    async def _follow(self, consumer: AsyncConsumer) -> None:
        while True:
            self._round += 1
            fetched = await all_of(consumer, TopicPartition(self._topic, 0), _POLL_MS)
            for records in fetched.values():
                for record in records:
                    self._take(record)
            self._quiet = self._quiet if fetched else self._round
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()

    async def _turn(self) -> None:
        """Wait for the next look at the topic; raises what has ended the reading."""
        assert self._following is not None
        waiting: asyncio.Future[object] = asyncio.ensure_future(self._turned.wait())
        both: set[asyncio.Future[Any]] = {self._following, waiting}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self.check()

    def check(self) -> None:
        """Raise what has ended the reading, if anything has."""
        if self._following is not None and self._following.done():
            self._following.result()

    async def read(self) -> None:
        """Wait until all is taken that the broker had when this was called."""
        round_ = self._round + 1
        while self._quiet < round_:
            await self._turn()

    async def append(self, entry: Entry, epoch: int = NO_EPOCH) -> int:
        """Write a line, acknowledged by all replicas, and read up to it; its offset.

        Raises:
            TakenOver: it is a decision, and another worker has the partition by now.
        """
        line = Line(secrets.token_hex(16), entry, epoch)
        if self._producer is None:
            client = client_settings(self._config.kafka, self._config.root)
            # Without idempotence, which the embedded broker does not know: what comes twice has the same id.
            producer = AIOKafkaProducer(**client, acks="all", request_timeout_ms=REQUEST_MS)
            await producer.start()
            self._producer = producer
        sent = await self._producer.send_and_wait(
            self._topic, msgspec.json.encode(line), partition=0, headers=[(_MARK, _VERSION)]
        )
        while self._next <= sent.offset:
            await self._turn()
        if isinstance(entry, Decision) and line.id not in self._counted:
            raise TakenOver(name_of(entry))
        return int(sent.offset)

    def _take(self, record: ConsumerRecord) -> None:
        self._next = record.offset + 1
        place, version = f"{self._topic}/0@{record.offset}", header_map(record.headers).get(_MARK)
        if version is None:
            self._strange(f"{place} is none of our lines and is passed over: only workers may write to that topic")
            return
        try:
            line = _DECODER.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DriftflowError(
                f"the line at {place} makes no sense ({error}) or is of another version of driftflow "
                f"({ascii(version)[:20]}): run that version, or give the stream other topics.decisions and topics.state"
            ) from None
        if line.id in self._ids:
            return
        self._ids.add(line.id)
        entry = line.entry
        if isinstance(entry, Claimed):
            self.claims[entry.name] = record.offset
        elif isinstance(entry, Housed):
            if entry.moved or entry.group not in self.homes:
                self.homes[entry.group] = entry
        elif isinstance(entry, Shaped):
            self.shape = self.shape or bytes(entry.shape)
        elif line.epoch == self.claims.get(name_of(entry), NO_EPOCH):
            self.decisions.append(entry)
            self._counted.add(line.id)
