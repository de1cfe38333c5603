"""Faust's aiokafka transport, with one message per chunk of records instead of one per record.

Faust races several asyncio tasks for every message, 70-80 µs each. Here a *composite* message carries all the records
that one fetch brought for one partition (at most ``max_chunk``), so that cost is paid once for a thousand events, while
Faust keeps group membership, rebalancing, flow control and the commit interval.

What holds, and is pinned by ``tests/worker/test_batch_transport.py`` and ``test_consumer.py``:

1. A record is handed out in offset order, and the committed offset is never past a composite that was not acked.
2. An ack counts only for a composite that reached an agent: Faust also "acks" what it skips while flow is suspended.
3. Whatever was fetched and not handed out is sought back to, so nothing is lost between a fetch and a rebalance.
4. After a rebalance or a seek the acks of older composites have no effect: their rows are delivered again.

Private methods of faust-streaming 0.15 are overridden here; the dependency is pinned for that reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import faust
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage, ack_lock
from mode.utils.futures import notify

from stream_app.config import KafkaConfig
from stream_app.kafka.types import ConsumerRecord, Fetched, TopicPartition
from stream_app.worker.acks import Acks
from stream_app.worker.composites import Chunk
from stream_app.worker.fetching import Columns, prepare
from stream_app.worker.isolation import IsolatedThread
from stream_app.worker.positions import OnGone, Positions, remember_jumps

PartitionsHook = Callable[[set[TopicPartition]], Awaitable[None]]
"""Called with the batch partitions gained or lost; a hook that raises ends the worker."""

NextOffset = Callable[[TopicPartition], int | None]
"""The offset that the owner of a batch partition needs next; None where it does not know."""

Piece = tuple[TopicPartition, Sequence[ConsumerRecord]]
"""Records of one partition that make one message."""

_IDLE_S = 0.005
"""How soon to look again when every partition is held back by full buffers (Faust itself sleeps a second)."""


class BatchConsumer(Positions, Consumer):  # type: ignore[misc]
    """Yields composites for the batch topics and single messages for all others."""

    def __init__(self, transport: BatchTransport, *args: object, **kwargs: object) -> None:
        self._batch, self._max_chunk = transport.batch_topics, transport.max_chunk
        self.acks = Acks()
        self._epoch, self._must_seek = 0, False
        self._seeking = asyncio.Lock()
        super().__init__(transport, *args, **kwargs)

    def _new_consumer_thread(self) -> IsolatedThread:
        kafka, columns = self.transport.kafka, self.transport.columns
        return IsolatedThread(self, kafka, columns, loop=self.loop, beacon=self.beacon)

    # -- fetching ---------------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TopicPartition, ConsumerMessage]]:
        """Fetch once and yield ``(partition, message)``; what is not handed out is sought back to by the next call."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self.should_stop or not await self._ready(timeout):
            return
        # Owed until every fetched record is handed out: a cancelled fetch may have consumed records already.
        epoch, self._must_seek = self._stamp(), True
        records, active = await self._wait_next_records(timeout)
        self._note_jumps()
        for tp, rows in self._pieces(records or {}, active):
            # Checked before a composite is made: one made after a revoke would leave its token and offset behind.
            if self._stamp() != epoch or self.should_stop:
                break
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, self._message(tp, rows)
        self._must_seek = self._stamp() != epoch
        if not self._must_seek:
            self._note_positions()

    async def _ready(self, timeout: float) -> bool:
        """Settle an owed seek and wait for room in the buffers; False when there is nothing to fetch yet."""
        if self._must_seek:
            try:
                await self.perform_seek()
            except Exception as error:
                self.log.warning("Cannot return to the committed offsets yet: %r", error)
                await self.sleep(timeout)
                return False
            self._must_seek = False
        if self._seeking.locked():  # what was fetched now would be dead when the seek ends, and not sought back to
            await self.sleep(_IDLE_S)
            return False
        if not self.app.client_only and not self._get_active_partitions():
            await self.sleep(_IDLE_S)
            return False
        return True

    def _stamp(self) -> tuple[int, int, bool]:
        """Changes whenever records that were fetched before may no longer be handed out."""
        return self._epoch, self.app.consumer_generation_id, self.flow_active

    def _pieces(self, records: Fetched, active: set[TopicPartition] | None) -> Iterator[Piece]:
        """Control topics record by record and in turn, then the batch topics chunk by chunk."""
        wanted = {
            tp: rows
            for tp, rows in records.items()
            if active is None or tp in active or tp in self._buffered_partitions
        }
        control = {tp: rows for tp, rows in wanted.items() if tp.topic not in self._batch}
        for tp, record in self.scheduler.iterate(control):
            yield tp, [record]
        for tp, rows in wanted.items():
            if tp.topic in self._batch:
                size = -(-len(rows) // -(-len(rows) // self._max_chunk))  # in equal parts: a small one costs as much
                for start in range(0, len(rows), size):
                    yield TP(tp.topic, tp.partition), rows[start : start + size]

    def _message(self, tp: TopicPartition, rows: Sequence[ConsumerRecord]) -> ConsumerMessage:
        return self._composite(tp, rows) if tp.topic in self._batch else self._to_message(tp, rows[0])

    def _composite(self, tp: TopicPartition, rows: Sequence[ConsumerRecord]) -> ConsumerMessage:
        last = rows[-1]
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=None if last.timestamp is None else last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=Chunk(tp, rows, self.acks.hand_out(tp, last.offset)),
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- acks and commits -------------------------------------------------------------------------------------------

    def ack(self, message: ConsumerMessage) -> bool:
        """Mark a composite as done. One that never reached an agent (``tracked`` is False) stays undone."""
        if message.topic not in self._batch:
            return bool(super().ack(message))
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            if message.tracked:
                message.value.token.done = True
                self._n_acked += 1
                self._unacked_messages.discard(message)
            notify(self._waiting_for_ack)
            return bool(message.tracked)

    def _filter_tps_with_pending_acks(self, topics: Iterable[str | TopicPartition] | None = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in self.acks.committable():
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic in self._batch:
            return self.acks.take_offset(tp)
        offset: int | None = super()._new_offset(tp)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a composite are no gap: tokens keep the order, whatever compaction left out."""
        if tp.topic not in self._batch:
            await super()._add_gap(tp, offset_from, offset_to)

    # -- seeks and rebalances ---------------------------------------------------------------------------------------

    def stop_flow(self) -> None:
        """Block the consumer. A composite that waits for room in a buffer is dropped by this, hence the epoch."""
        self._epoch += 1
        super().stop_flow()

    async def perform_seek(self) -> None:
        """Return to the committed offsets, or to the beginning where nothing was committed; to what the owner needs
        where more was committed than that: the log is another one, or the owner's state an older one.

        No fetch starts until that is done. One that was under way may take records after it, and owes a seek as before.
        """
        async with self._seeking:
            self._epoch += 1
            self.acks.drop_all()
            await super().perform_seek()
            needed = self._needed_before_committed()
            self._committed_offset.update(dict.fromkeys(needed))  # Faust commits no offset below it
            # aiokafka leaves a partition without a commit where it is: past what a dropped fetch took.
            if uncommitted := self._uncommitted():
                starts = await self.earliest_offsets(*uncommitted)
                places = {tp: max(start, needed.get(tp, 0)) for tp, start in starts.items()}
                await self.seek_wait({tp: places[tp] for tp in self._uncommitted() & places.keys()})
            self.acks.drop_all()
            self._epoch += 1

    def seek_anew(self) -> None:
        """Let the next fetch begin with :meth:`perform_seek`; what was handed out before is dead at once."""
        self._epoch += 1
        self._must_seek = True
        self.acks.drop_all()

    def _needed_before_committed(self) -> dict[TopicPartition, int]:
        needed = {tp: self.transport.next_offset(tp) for tp in self._batch_only(self._committed_offset)}
        return {tp: n for tp, n in needed.items() if n is not None and n < (self._committed_offset[tp] or 0)}

    def _uncommitted(self) -> set[TopicPartition]:
        return {tp for tp in self._batch_only(self.assignment()) if not self._committed_offset[tp]}

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Stop the flow, let the owner write its state, commit what it acked, then forget the partitions."""
        lost = self._batch_only(revoked)
        if lost and not self.app.should_stop:
            self.stop_flow()
            self.app.flow_control.suspend()
            await self._call(self.transport.on_revoked, lost)
            await self.commit()
        self.acks.drop(lost)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TopicPartition], generation_id: int = 0) -> None:
        """Let the owner load its state before Faust may resume the flow."""
        gained = self._batch_only(assigned)
        if gained and not self.app.should_stop:
            await self._call(self.transport.on_assigned, gained)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_shutdown(self) -> None:
        """Before the worker stops: agents and producer still live, nothing new is handed out."""
        try:
            owned = self._batch_only(self.assignment())
        except ConsumerNotStarted:
            return  # stopped while it starts: there is nothing to save
        if not owned:
            return
        try:
            await self._call(self.transport.on_revoked, owned)
        except Exception:
            return  # the app has it as its crash reason; an error here would leave its services running for ever
        await self.commit()

    async def _call(self, hook: PartitionsHook | None, tps: set[TopicPartition]) -> None:
        if hook is not None:
            try:
                await hook(tps)
            except Exception as error:
                await self.crash(error)
                raise

    @property
    def thread_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the consumer's own thread."""
        loop: asyncio.AbstractEventLoop = self._thread.thread_loop
        return loop


class BatchTransport(Transport):  # type: ignore[misc]
    """The aiokafka transport with :class:`BatchConsumer`."""

    Consumer = BatchConsumer

    def __init__(
        self, app: faust.App, batch_topics: Iterable[str], max_chunk: int, kafka: KafkaConfig, columns: Columns
    ) -> None:
        assert max_chunk > 0
        self.kafka, self.max_chunk = kafka, max_chunk
        self.batch_topics, self.columns = frozenset(batch_topics), columns
        self.on_assigned: PartitionsHook | None = None
        self.on_revoked: PartitionsHook | None = None
        self.next_offset: NextOffset = lambda tp: None
        self.on_gone: OnGone = lambda tp, first, end: None
        super().__init__(app.conf.broker_consumer, app)


def install(
    app: faust.App,
    batch_topics: Iterable[str],
    max_chunk: int,
    *,
    kafka: KafkaConfig = KafkaConfig(),  # noqa: B008 - frozen
    columns: Columns | None = None,
    next_offset: NextOffset = lambda tp: None,
    on_assigned: PartitionsHook | None = None,
    on_revoked: PartitionsHook | None = None,
    on_gone: OnGone = lambda tp, first, end: None,
) -> BatchTransport:
    """Give ``app`` the batch transport. Call it before anything touches ``app.topics`` or declares an agent.

    Args:
        app: the Faust app; its ``consumer_auto_offset_reset`` is "earliest".
        batch_topics: topics whose events arrive as :class:`Chunk`; declare them with :func:`batch_topic`.
        max_chunk: most records of one composite.
        kafka: says which records are read.
        columns: says of which batch topics the records stay columns, without keys and headers.
        next_offset: where reading must go on although more than that was committed.
        on_assigned: awaited with all batch partitions of a new assignment, before the first record of any of them.
        on_revoked: awaited with the batch partitions that go, and with all of them before the worker stops; no new
            composite is handed out meanwhile, and what is acked in it is committed.
        on_gone: told what retention has deleted before it was read, though it was next.
    """
    assert app.conf.consumer_auto_offset_reset == "earliest", "a partition without a commit is read from its beginning"
    prepare()
    remember_jumps()
    transport = BatchTransport(app, batch_topics, max_chunk, kafka, columns or Columns())
    transport.on_assigned, transport.on_revoked, transport.next_offset = on_assigned, on_revoked, next_offset
    transport.on_gone, app.transport = on_gone, transport

    async def before_shutdown(_: object, **kwargs: object) -> None:
        if app._consumer is not None:
            await app._consumer.on_shutdown()

    app.on_before_shutdown.connect(before_shutdown, weak=False)
    return transport


def batch_topic(app: faust.App, *names: str) -> Any:
    """A topic whose values Faust's codecs pass through untouched."""
    return app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
