"""State in topics, so that workers need no common folder: bases and heads on a compacted one, decisions on another.

A base is cut into chunks; a head names the chunks that count. Their keys hold the epoch of the owner
(:mod:`stream_app.worker.journal`) and one of two slots, so that nothing that a head names is written over before
another head stands, and that a worker which was believed dead writes under keys that nobody reads any more: of the
epochs with a head the highest counts. Compaction may come at any time and between any two records: it leaves the newest
record of each key, and a head is newer than its chunks. So no transaction is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from schemas.intake import header_map
from stream_app.config import Config
from stream_app.errors import SnapshotError, TakenOver
from stream_app.kafka.clients import client_settings
from stream_app.kafka.types import ConsumerRecord
from stream_app.stages.decisions import Decision
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.bridge import Bridge
from stream_app.worker.damages import all_of
from stream_app.worker.files import check_width
from stream_app.worker.heads import Head, Saved, check_base, decode_head, digest, encode_head
from stream_app.worker.journal import REQUEST_MS, Claimed, Journal, myself
from stream_app.worker.state import name_of
from stream_app.worker.unread import Unread

log = logging.getLogger(__name__)

CHUNK_BYTES = 512 * 1024
"""Of a base: a record is smaller than what every broker takes."""

_BATCH_BYTES = 640 * 1024
"""Of a batch of records, which a broker counts as one message: it takes a megabyte."""
_FETCH_BYTES = 32 * 1024 * 1024
_WAIT_MS, _POLL_MS = 20, 30
_TRIES, _PAUSE_S = 5, 0.5
"""A former owner may still write while what it has written is read: another look finds it whole."""
_SLOT, _CHUNKS = "slot", "chunks"


@dataclass(slots=True)
class _Found:
    """What stands under an epoch of a name.

    Attributes:
        head: with its slot and number of chunks; None where there is none.
        chunks: by slot and number.
    """

    head: tuple[bytes, int, int] | None = None
    chunks: dict[tuple[int, int], bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Own:
    """What this worker has under a name.

    Attributes:
        epoch: of its claim.
        slot: the one that its head names.
        bases: slot to the SHA-256 of the base there and the number of its chunks.
    """

    epoch: int
    slot: int = 1
    bases: dict[int, tuple[str, int]] = field(default_factory=dict)


class KafkaStore:
    """A :class:`~stream_app.worker.state.StateStore` in ``topics.state`` and ``topics.decisions``.

    Args:
        config: the stream, with the number of partials partitions that it really has.
        bridge: where its clients live.
        journal: the decisions topic, started.
        at: called between any two records that have to stand one after the other.

    Raises:
        SnapshotError: at once, when the topics hold the state of another shape of the stream.
    """

    def __init__(
        self, config: Config, bridge: Bridge, journal: Journal, at: Callable[[str], None] = lambda gap: None
    ) -> None:
        self._config, self._bridge, self._journal, self._at = config, bridge, journal, at
        self._topic, self._width = config.topics.state, config.topics.partitions
        self._client = client_settings(config.kafka, config.root)
        self._own: dict[str, _Own] = {}
        self._heads: list[Future[None]] = []
        self._seen = 0
        self._unread = Unread(config, bridge)
        self._producer: AIOKafkaProducer = bridge.run(self._make_producer())

    async def _make_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._client,
            acks="all",
            request_timeout_ms=REQUEST_MS,
            max_request_size=_BATCH_BYTES,
            max_batch_size=_BATCH_BYTES,
        )
        await producer.start()
        return producer

    def close(self) -> None:
        """Let go of the broker."""
        self._bridge.run(self._producer.stop())
        self._unread.close()
        self._bridge.run(self._journal.stop())
        self._bridge.close()

    # Bases and heads -----------------------------------------------------------------------------------------------

    def take(self, name: str) -> Saved | None:
        """Take a name over; what is kept of it, which is written under keys of this worker's own at once."""
        epoch = self._bridge.run(self._journal.append(Claimed(name, myself())))
        self._own[name] = _Own(epoch)
        found = self._bridge.run(self._whole(name))
        if found is None:
            return None
        saved, keys = found
        self.put_base(name, saved.base)
        self.put_head(name, saved.head)
        self.settle()
        self._bridge.run(self._remove(name, keys))
        return saved

    async def _whole(self, name: str) -> tuple[Saved, list[bytes]] | None:
        """What counts under a name, and the keys that stand there."""
        for left in reversed(range(_TRIES)):
            epochs, keys = await self._read(name)
            heads = [epoch for epoch, found in epochs.items() if found.head is not None]
            if not heads:
                return None
            try:
                return _joined(epochs[max(heads)]), keys
            except SnapshotError as error:
                if not left:
                    raise SnapshotError(f"{self.where(name)} cannot be used: {error}") from error
            await asyncio.sleep(_PAUSE_S)
        raise AssertionError("unreachable")

    async def _read(self, name: str) -> tuple[dict[int, _Found], list[bytes]]:
        epochs: dict[int, _Found] = defaultdict(_Found)
        keys: dict[bytes, None] = {}
        consumer = AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_WAIT_MS,
            fetch_max_bytes=2 * _FETCH_BYTES,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        await consumer.start()
        try:
            place, ended = self._place(name), False
            consumer.assign([place])
            while not ended:  # what a fetch says of the end is right on every broker
                for record in (await all_of(consumer, place, _POLL_MS)).get(place, ()):
                    if _is_of(name, record):
                        _enter(epochs, keys, record)
                end = consumer.highwater(place)
                ended = end is not None and await consumer.position(place) >= end
        finally:
            await consumer.stop()
        return epochs, [*keys]

    async def _remove(self, name: str, keys: Iterable[bytes]) -> None:
        """Tombstones for what former owners have written."""
        place = self._place(name)
        sent = [await self._producer.send(place.topic, None, key=key, partition=place.partition) for key in keys]
        if sent:
            await asyncio.gather(*sent)

    def put_base(self, name: str, base: bytes) -> None:
        """Keep a base in the slot that does not count; every chunk is acknowledged when this returns."""
        own = self._fenced(name)
        self.settle()  # what the head before named is free once that head stands
        slot = 1 - own.slot
        chunks = [base[start : start + CHUNK_BYTES] for start in range(0, len(base), CHUNK_BYTES)] or [b""]
        self._bridge.run(self._send_chunks(name, own.epoch, slot, chunks))
        own.bases[slot] = digest(base), len(chunks)

    async def _send_chunks(self, name: str, epoch: int, slot: int, chunks: list[bytes]) -> None:
        place, sent = self._place(name), []
        for number, chunk in enumerate(chunks):
            key = _key(name, epoch, f"{slot}/{number}")
            sent.append(await self._producer.send(place.topic, chunk, key=key, partition=place.partition))
            self._at("chunk sent")
        await asyncio.gather(*sent)

    def put_head(self, name: str, head: Head) -> None:
        """Let a head count, which names a base that was kept."""
        own = self._fenced(name)
        slot, chunks = next((slot, n) for slot, (sha256, n) in own.bases.items() if sha256 == head.base)
        headers = [(_SLOT, str(slot).encode()), (_CHUNKS, str(chunks).encode())]
        sending = self._send_head(_key(name, own.epoch, "head"), name, encode_head(head), headers)
        self._heads.append(self._bridge.begin(sending))
        own.slot = slot

    async def _send_head(self, key: bytes, name: str, head: bytes, headers: list[tuple[str, bytes]]) -> None:
        place = self._place(name)
        await self._producer.send_and_wait(place.topic, head, key=key, partition=place.partition, headers=headers)

    def settle(self) -> None:
        """Wait for the heads that are on their way: those of many partitions go together. One that has failed stays, so
        that no later one passes it."""
        for head in self._heads:
            self._bridge.wait(head)
        self._heads.clear()

    def _fenced(self, name: str) -> _Own:
        """What is this worker's; raises TakenOver where another has claimed it since."""
        own = self._own[name]
        self._journal.check()
        if self._journal.claims[name] != own.epoch:
            raise TakenOver(name)
        return own

    def _place(self, name: str) -> TopicPartition:
        return TopicPartition(self._topic, int(name.rpartition("-")[2]) % self._width)

    def where(self, name: str) -> str:
        """The topic and partition, and the keys."""
        place = self._place(name)
        return f"the state of {name} on {place.topic}/{place.partition}"

    # Decisions -----------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Append a decision, with the epoch of the partition that it is about."""
        own = self._own.get(name_of(decision))
        self._bridge.run(self._journal.append(decision, own.epoch if own else -1))

    def has_news(self) -> bool:
        """Whether there are more decisions than when they were last read."""
        self._journal.check()
        return len(self._journal.decisions) != self._seen

    def decisions(self) -> list[Decision]:
        """Every decision so far, those of this moment among them."""
        self._bridge.run(self._journal.read())
        self._seen = len(self._journal.decisions)
        return [*self._journal.decisions]

    def preset(self, decisions: Iterable[Decision]) -> None:
        """Start with the decisions of another run."""
        decisions = list(decisions)
        check_width(decisions, self._width, self._config.topics.partials)
        if not self.decisions():
            for decision in decisions:
                self._bridge.run(self._journal.append(decision))
        if self.decisions() != decisions:
            raise SnapshotError(
                f"{self._config.topics.decisions} holds other decisions: repeat a run with topics.decisions, "
                "topics.state and a kafka.group of its own"
            )

    def unread(self, partition: int) -> int | None:
        """Records of a source partition that its owner has not committed; None where that is not known."""
        return self._unread.of(partition)


def _key(name: str, epoch: int, rest: str) -> bytes:
    return f"{name}/{epoch}/{rest}".encode()


def _is_of(name: str, record: ConsumerRecord) -> bool:
    key: bytes | None = record.key  # type: ignore[attr-defined]
    return key is not None and key.startswith(f"{name}/".encode())


def _enter(epochs: dict[int, _Found], keys: dict[bytes, None], record: ConsumerRecord) -> None:
    """Take a record in; one whose key or headers are none of ours is passed over."""
    key: bytes = record.key  # type: ignore[attr-defined]
    try:
        _, epoch, *rest = key.decode().split("/")
        found = epochs[int(epoch)]
        if record.value is None:
            keys.pop(key, None)
            if rest == ["head"]:
                found.head = None
            else:
                found.chunks.pop((int(rest[0]), int(rest[1])), None)
            return
        if rest == ["head"]:
            headers = header_map(record.headers)
            found.head = record.value, int(headers[_SLOT]), int(headers[_CHUNKS])
        else:
            found.chunks[int(rest[0]), int(rest[1])] = record.value
        keys[key] = None
    except (ValueError, LookupError, UnicodeDecodeError):
        log.error("%s/%d@%d is no state of ours and is passed over", record.topic, record.partition, record.offset)


def _joined(found: _Found) -> Saved:
    """Head and base of an epoch; raises SnapshotError where they are damaged or do not fit together."""
    assert found.head is not None
    blob, slot, n = found.head
    head = decode_head(blob)
    missing = [number for number in range(n) if (slot, number) not in found.chunks]
    if missing:
        raise SnapshotError(f"{len(missing)} of {n} pieces of its base are not there; {REMEDY}")
    base = b"".join(found.chunks[slot, number] for number in range(n))
    check_base(head, base)
    return Saved(head, base)
