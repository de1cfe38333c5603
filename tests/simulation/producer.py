"""A producer: messages go out a little later, in their order, and are acknowledged a little later than that."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.kafka.types import TopicPartition

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

PENDING_MAX = 60
"""Messages that wait for the broker at most; whoever has more waits."""


class Taken(NamedTuple):
    """Where a message went."""

    topic: str
    partition: int
    offset: int


class _Message(NamedTuple):
    tp: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    taken: asyncio.Future[Taken]


class SimProducer:
    """The producer of one process."""

    started = True

    def __init__(self, machine: Machine) -> None:
        self._machine, self._world = machine, machine.world
        self._pending: deque[_Message] = deque()
        self._sends = False
        self.most = 0

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, time: None, headers: Any
    ) -> asyncio.Future[Taken]:
        """Put a message among those to send; what comes back is done once the broker has it."""
        while len(self._pending) >= PENDING_MAX:
            await asyncio.sleep(0.02)
        taken: asyncio.Future[Taken] = self._world.loop.create_future()
        taken.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, even where nobody asks
        self._pending.append(_Message(TopicPartition(topic, partition), key, value, headers, taken))
        self.most = max(self.most, len(self._pending))
        if not self._sends:
            self._sends = True
            self._machine.begin(self._send_pending())
        return taken

    async def _send_pending(self) -> None:
        chance, faults = self._world.chance, self._world.faults
        while self._pending:
            await asyncio.sleep(max(faults.broker_away_until_s - self._world.loop.time(), chance.uniform(0.001, 0.02)))
            batch = [self._pending.popleft() for _ in range(chance.randint(1, len(self._pending)))]
            places = [self._append(message) for message in batch]
            if chance.random() < faults.sent_twice:  # its first acknowledgement was lost
                for message in batch:
                    if self._world.may_come_twice(message.tp):
                        self._append(message)
            await asyncio.sleep(chance.uniform(0.001, 0.02))
            refused = chance.random() < faults.unacknowledged
            for message, place in zip(batch, places, strict=True):
                self._machine.effect("acknowledged")
                if refused:
                    message.taken.set_exception(ConnectionError("the broker has not acknowledged a message in time"))
                else:
                    message.taken.set_result(place)
        self._sends = False

    def _append(self, message: _Message) -> Taken:
        self._machine.effect("produce")
        sent = message.tp, message.value, message.headers, message.key
        record = self._world.broker.append(*sent, self._machine.name)
        return Taken(*message.tp, record.offset)
