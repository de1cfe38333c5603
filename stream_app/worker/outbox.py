"""What has been processed and is not durable yet, and the order in which it becomes durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import WireMessage
from stream_app.config import TopicsConfig
from stream_app.kafka.types import Headers, Sent, TopicPartition
from stream_app.models.signing import sign
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Block, Outgoing, Outputs, Point
from stream_app.worker.heads import NOTHING_TOLD
from stream_app.worker.partitions import Partitions
from stream_app.worker.sending import Send
from stream_app.worker.told import Told

GAPS = ("processed", "acknowledged", "spooled", "base kept", "saved", "acked")
"""Between two steps of a checkpoint, in order, what has just been done: where a test may let a worker end."""

_SIGNED = {("ce_type", b"driftflow.retrain-request.v1"), ("ce_type", b"driftflow.service-change.v1")}
"""Headers of the messages that are signed: a trainer believes no others."""


class Acked(Protocol):
    """What is acked once all that came of it is durable."""

    def ack(self) -> object: ...


class Outbox:
    """Messages on their way, points, partitions to save and acks to give, since the last checkpoint.

    Args:
        send: hands a message to the producer.
        topics: names of the topics.
        spool: durable queue of points.
        partitions: writes bases and heads.
        key: signs retrain requests, and changes of the model in service.
        told: what JUDGE has said already, and the broker has: it is not sent again.
        at: called in each of the :data:`GAPS`.

    Attributes:
        sent_until: partition between two stages to the offset after the last message of ours that the broker has taken.
    """

    def __init__(
        self,
        send: Send,
        topics: TopicsConfig,
        spool: Spool,
        partitions: Partitions,
        key: Ed25519PrivateKey,
        told: Told,
        at: Callable[[str], None] = lambda gap: None,
    ) -> None:
        self._send, self._topics, self._spool, self._partitions, self._key = send, topics, spool, partitions, key
        self.told, self._at = told, at
        self._sent: list[asyncio.Future[Sent]] = []
        self._points: list[Point | Block] = []
        self._unsaved: set[TopicPartition] = set()
        self._unacked: list[tuple[TopicPartition | None, Acked]] = []
        self.sent_until: dict[TopicPartition, int] = {}

    @property
    def pending(self) -> int:
        """Partitions with work that is not durable yet."""
        return len(self._unsaved)

    def save_later(self, tp: TopicPartition) -> None:
        """Let the next checkpoint save a partition."""
        self._unsaved.add(tp)

    def add_point(self, point: Point) -> None:
        """A point that belongs to no partition."""
        self._points.append(point)

    async def put(self, out: Outputs, owner: TopicPartition | None, event: Acked | None = None) -> None:
        """Send what came of a partition's input, or of none's; with an event, it is acked at the next checkpoint."""
        self._points += out.points.parts
        for message in out.messages:
            if self.told.is_told(message):
                continue
            topic = getattr(self._topics, message.role)
            headers = self._signed(message)
            sent = await self._send(topic, message.key, message.value, partition=message.partition, headers=headers)
            self._sent.append(sent)
        if owner is not None:
            self._unsaved.add(owner)
        if event is not None:
            self._unacked.append((owner, event))

    def _signed(self, message: Outgoing) -> Headers:
        """The headers of a message; those of a signature come last, outside what a replay compares."""
        if _SIGNED.isdisjoint(message.headers):
            return message.headers
        return sign(WireMessage(message.value, message.headers), self._key).headers

    async def checkpoint(self, last: bool = False) -> None:
        """Make everything durable that was processed since the last checkpoint. For every partition, in this order:

        1. its input is processed, and what came of it was :meth:`put` here;
        2. the broker acknowledges the messages;
        3. the points are in the spool;
        4. where one is due, its state is kept as a base, which counts for nothing yet;
        5. its head is kept: it names the base that counts, and says up to where all that came of the input was sent;
        6. its input is acked, and Faust may commit the offsets.

        A step that fails leaves those after it undone, and the next checkpoint begins with it. After a crash the base
        that the head names is loaded, and the input is read again from its offset on. What comes of it below the head's
        ``done`` is left out; what comes of it from there on may have been sent before, between 2 and 5: with the same
        ids, so that it has no second effect.

        Args:
            last: the partitions are given away after this.
        """
        self._at("processed")
        await self._await_acknowledgements()
        self._at("acknowledged")
        self._spool_points()
        self._at("spooled")
        await _to_its_end(lambda: self._save(last))
        self._ack_events()
        self._at("acked")

    async def _await_acknowledgements(self) -> None:
        # A send that failed stays in the list, so that no later checkpoint passes it. So does one that is still under
        # way when the worker is told to stop: ``wait`` leaves it alone, where awaiting it would cancel it.
        if self._sent:
            await asyncio.wait(self._sent)
        for sent in [pending.result() for pending in self._sent]:
            self.told.took(sent)
            if sent.topic in (self._topics.partials, self._topics.evidence):
                self.sent_until[TopicPartition(sent.topic, sent.partition)] = sent.offset + 1
        self._sent = []

    def _spool_points(self) -> None:
        if self._points:
            self._spool.append(self._points)
            self._points = []

    def _save(self, last: bool) -> None:
        for tp in sorted(self._unsaved):
            told = self.told.until if tp.topic == self._topics.evidence else NOTHING_TOLD
            self._partitions.save(tp, told, last, self._at)
            self._at("saved")
        self._partitions.settle()
        self._unsaved.clear()

    def _ack_events(self) -> None:
        events, self._unacked = self._unacked, []
        for owner, event in events:
            if owner is None or owner in self._partitions:  # else another worker has it, and has to read it again
                event.ack()


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run what writes to disk in a thread, so that the event loop goes on; nobody may touch the states before it has
    ended, so that a cancellation waits for that.
    """
    running, cancelled = asyncio.ensure_future(asyncio.to_thread(work)), False
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            cancelled = True
    running.result()
    if cancelled:
        raise asyncio.CancelledError
