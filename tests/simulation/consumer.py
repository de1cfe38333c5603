"""What Faust and the batch transport do for a worker: fetch, hand out, commit, and come and go with the group.

The bookkeeping of acks is the real one (:class:`stream_app.worker.acks.Acks`), and the order of things at a rebalance
that of :class:`stream_app.worker.batch_transport.BatchConsumer`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.kafka.types import TopicPartition
from stream_app.worker.acks import Acks
from stream_app.worker.composites import Chunk
from stream_app.worker.progress import Progress
from tests.simulation.broker import Record

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

BUFFERED = 3
"""Composites of a topic that wait for its agent at most."""
CHUNK_MAX = 40
COMMIT_S = 1.0


@dataclass(slots=True)
class Event:
    """A composite on its way to an agent."""

    value: Chunk
    consumer: SimConsumer

    def ack(self) -> bool:
        """Mark it as done."""
        self.consumer.machine.effect("ack")
        self.value.token.done = True
        return True


class Stream:
    """The composites of one topic, as an agent gets them."""

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self.most = 0
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Hand one out."""
        self.waiting.append(event)
        self.most = max(self.most, len(self.waiting))
        self._news.set()

    def noack(self) -> Stream:
        """Faust's: the agent acks itself."""
        return self

    async def events(self) -> AsyncIterator[Event]:
        """The composites, for ever."""
        while True:
            while not self.waiting:
                self._news.clear()
                await self._news.wait()
            yield self.waiting.popleft()


class SimConsumer:
    """The consumer of one worker.

    Args:
        machine: the process that it is in.
        topics: what is handed out as composites.
    """

    def __init__(self, machine: Machine, topics: Iterable[str]) -> None:
        self.machine, self.streams = machine, {topic: Stream() for topic in topics}
        self.acks = Acks()
        self.assigned: set[TopicPartition] = set()
        self.generation = 0
        self._broker, self._chance = machine.world.broker, machine.world.chance
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int | None] = {}
        self._epoch, self._flows, self._must_seek = 0, False, False
        self._moving = asyncio.Lock()
        self._wake_up = asyncio.Event()

    # Fetching -------------------------------------------------------------------------------------------------------

    async def fetch_for_ever(self) -> None:
        """Hand out what comes, as far as there is room for it."""
        while True:
            if not self._flows or not await self._fetch():
                self._wake_up.clear()
                self._broker.wake(self._wake_up)
                await self._wake_up.wait()
            await asyncio.sleep(self._chance.uniform(0.005, 0.05))

    async def _fetch(self) -> bool:
        if self._must_seek:
            self.perform_seek()
        epoch, self._must_seek = self._epoch, True
        fetched = {tp: rows for tp in self._in_some_order() if (rows := self._rows(tp))}
        self._positions |= {tp: rows[-1].offset + 1 for tp, rows in fetched.items()}
        for tp, rows in fetched.items():
            while len(self.streams[tp.topic].waiting) >= BUFFERED and self._epoch == epoch:
                await asyncio.sleep(0.05)
            if self._epoch != epoch:  # what was fetched and is not handed out is sought back to
                return True
            self.streams[tp.topic].put(Event(Chunk(tp, rows, self.acks.hand_out(tp, rows[-1].offset)), self))
        self._must_seek = False
        for tp in self.assigned:
            self.acks.fetched(tp, self._positions[tp])
        return bool(fetched)

    def _in_some_order(self) -> list[TopicPartition]:
        order = sorted(self.assigned)
        self._chance.shuffle(order)
        return order

    def _rows(self, tp: TopicPartition) -> list[Record]:
        if self._positions[tp] < (start := self._broker.logs[tp].start) and tp.topic not in self._broker.withheld:
            self._jump(tp, start)
        return self._broker.fetch(tp, self._positions[tp], self._chance.randint(1, CHUNK_MAX))

    def _jump(self, tp: TopicPartition, start: int) -> None:
        """Retention has passed the position: reading goes on where the log begins, and that is told."""
        first = max(self._positions[tp], self.machine.next_offset(tp) or 0)
        self._positions[tp] = start
        if first < start:
            self.machine.app.hooks["on_gone"](tp, first, start)

    def seek_anew(self) -> None:
        """Let the next fetch begin with :meth:`perform_seek`; what was handed out before is dead at once."""
        self._epoch += 1
        self._must_seek = True
        self.acks.drop_all()
        self._wake_up.set()

    def perform_seek(self) -> None:
        """Return to the committed offsets, or to what the owner needs where that is less."""
        self._epoch += 1
        self.acks.drop_all()
        self._must_seek = False
        for tp in self.assigned:
            committed = self._broker.committed.get(tp)
            needed = self.machine.next_offset(tp)
            if needed is not None and needed < (committed or 0):
                committed = None
            self._committed[tp] = committed
            self._positions[tp] = committed or max(self._broker.logs[tp].start, needed or 0)

    # Commits --------------------------------------------------------------------------------------------------------

    async def commit_for_ever(self) -> None:
        """Commit what is acked, once in a while."""
        while True:
            await asyncio.sleep(COMMIT_S)
            self.commit()

    def commit(self) -> None:
        """Commit what is acked; a former owner is refused."""
        offsets = {tp: self.acks.take_offset(tp) for tp in list(self.acks.committable())}
        for tp, offset in offsets.items():
            if offset is None or offset <= (self._committed.get(tp) or -1):
                continue
            self.machine.effect("commit")
            if self.machine.world.group.takes_commits_of(self.machine, self.generation):
                self._broker.committed[tp] = self._committed[tp] = offset

    # The group ------------------------------------------------------------------------------------------------------

    async def revoke(self, shutting_down: bool = False) -> None:
        """Let the owner save its state, commit what it acked, then forget the partitions; one that is about to end
        does so once, when it shuts down.
        """
        async with self._moving:
            lost, self._flows = set(self.assigned), False
            self._epoch += 1
            if lost and (shutting_down or not self.machine.stopping):
                await self.machine.call(self.machine.on_revoked, lost)
                self.commit()
            self.acks.drop(lost)
            self.assigned = set()

    async def assign(self, gained: set[TopicPartition], generation: int) -> None:
        """Let the owner load its state, then begin."""
        async with self._moving:
            self.generation, self.assigned = generation, set(gained)
            self._positions, self._committed = dict.fromkeys(gained, 0), {}
            if self.machine.stopping:
                return
            if gained:
                await self.machine.call(self.machine.on_assigned, set(gained))
            self.perform_seek()
            self._flows = True
            self._wake_up.set()

    # What the worker asks for ---------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """Offset up to which everything is settled, and where reading ends, of each partition."""
        return {tp: (self.acks.settled(tp, self._committed.get(tp)), self._broker.logs[tp].end) for tp in self.assigned}

    def written_ends(self) -> dict[TopicPartition, int | None]:
        """High watermark of each partition."""
        return {tp: self._broker.logs[tp].end for tp in self.assigned}

    def partitions_of(self, topic: str) -> set[int]:
        """Partitions that a topic has."""
        return {tp.partition for tp in self._broker.partitions(topic)}
