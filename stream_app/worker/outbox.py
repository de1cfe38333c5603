"""What has been processed and is not durable yet: messages on their way, points, states to save, acks to earn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from stream_app.config import Config
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Outputs, Point
from stream_app.worker import batch_transport

Owner = tuple[str, int]
"""``("source" or "watch", partition)``."""


class Outbox:
    """Holds the order of a checkpoint: broker, spool, snapshot, ack.

    Args:
        app: the Faust app whose producer sends.
        config: the stream.
        spool: durable queue of points.

    Attributes:
        sent_until: partials partition to the offset after the last message of ours that the broker has taken.
    """

    def __init__(self, app: Any, config: Config, spool: Spool) -> None:
        self._app, self._topics, self._spool = app, config.topics, spool
        self._sent: list[asyncio.Future[Any]] = []
        self._points: list[Point] = []
        self._dirty: set[Owner] = set()
        self._acks: list[Any] = []
        self.sent_until: dict[int, int] = {}

    @property
    def pending(self) -> int:
        """Partitions with work that is not durable yet."""
        return len(self._dirty)

    def add_point(self, point: Point) -> None:
        """A point that belongs to no partition."""
        self._points.append(point)

    async def put(self, out: Outputs, owner: Owner, event: Any = None) -> None:
        """Send what a partition has said; with an event, it is acked at the next checkpoint."""
        self._points += out.points
        for message in out.messages:
            self._sent.append(
                await batch_transport.send(
                    self._app,
                    getattr(self._topics, message.role),
                    message.key,
                    message.value,
                    partition=message.partition,
                    headers=list(message.headers),
                )
            )
        self._dirty.add(owner)
        if event is not None:
            self._acks.append(event)

    async def checkpoint(self, save: Callable[[str, int], None]) -> None:
        """Steps 2 to 4 for everything since the last one. Where one fails, the next checkpoint begins with it."""
        await self._acknowledged()
        if self._points:
            self._spool.append(self._points)
            self._points = []
        for owner in sorted(self._dirty):
            save(*owner)
            self._dirty.discard(owner)
        acks, self._acks = self._acks, []
        for event in acks:
            event.ack()

    async def _acknowledged(self) -> None:
        """Step 2. A send that failed stays in the list, so that no later checkpoint can pass it; and so does one that is
        still under way when the worker is told to stop (``wait`` leaves it alone, awaiting it would cancel it).
        """
        if self._sent:
            await asyncio.wait(self._sent)
        for done in [pending.result() for pending in self._sent]:
            if done.topic == self._topics.partials:
                self.sent_until[done.partition] = done.offset + 1
        self._sent = []
