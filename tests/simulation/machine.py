"""One worker process: the real :class:`stream_app.worker.agents.Worker` in an app that is none of Faust's.

Whatever it does to the world outside goes through :meth:`Machine.effect`, so that it can be killed between any two of
those, and does nothing any more once it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from stream_app.errors import SinkError
from stream_app.guard import described
from stream_app.kafka.types import TopicPartition
from stream_app.sinks.delivery import Delivery
from stream_app.stages.outputs import Block, Point, Points
from stream_app.worker.agents import Worker
from stream_app.worker.files import FileStore
from stream_app.worker.heads import Head
from stream_app.worker.progress import Progress
from stream_app.worker.supervision import Parts
from tests.simulation.consumer import SimConsumer
from tests.simulation.group import HEARTBEAT_S
from tests.simulation.producer import SimProducer
from tests.simulation.topics_store import TopicsStore

if TYPE_CHECKING:
    from tests.simulation.world import World


class Killed(BaseException):
    """The process has ended here."""


class Machine:
    """A process.

    Attributes:
        alive, paused, begun: whether it lives, whether it is stopped for a while, and whether it ever began to work.
        crash_at: kind of effect and how many of them until it is killed; None for never.
        ended: why it has ended by itself; "" where it has not.
        stopping: whether it is about to end.
        heard_s: when the group heard of it last.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive, self.paused, self.begun, self.ended = True, False, False, ""
        self.crash_at: tuple[str, int] | None = None
        self.heard_s = world.loop.time()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.app = SimApp(self)
        self.consumer: SimConsumer
        self.stopping = False

    # Effects --------------------------------------------------------------------------------------------------------

    def effect(self, kind: str) -> None:
        """Something is about to happen outside.

        Raises:
            Killed: it does not.
        """
        if not self.alive:
            raise Killed
        self.world.note(self, kind)
        if self.crash_at is not None and kind.startswith(self.crash_at[0]):
            self.crash_at = (self.crash_at[0], self.crash_at[1] - 1)
            if self.crash_at[1] < 0:
                self.kill()
                raise Killed

    def kill(self) -> None:
        """End at once, without a word."""
        self.alive = False
        self.world.say(f"{self.name} is killed")
        self.world.loop.thaw(self)
        for task in list(self.tasks):
            task.cancel()

    # Life -----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the worker, and join the group."""
        try:
            store = store_of(self.world, self)
            self.worker = Worker(self.world.config, store, MachineSpool(self), SimParts(self))  # type: ignore[arg-type]
        except Exception as error:
            self.end(f"it cannot start: {described(error)}")
            return
        self.world.watching.watch(self.worker.pipeline)
        self.app.start()
        self.begun = True
        for work in (self._heartbeat(), self._status(), self._drain()):
            self.begin(work)
        self.world.group.join(self)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let it do something beside the rest."""
        self.world.loop.begin(self, work)

    async def stop(self) -> None:
        """End in order, as on SIGTERM, or after a failure."""
        self.stopping = True
        with contextlib.suppress(Exception):
            await self.consumer.revoke(shutting_down=True)
        self.world.group.leave(self)
        if self.alive:
            self.kill()

    def end(self, why: str) -> None:
        """Something in it has failed: it stops, and its supervisor starts another one."""
        if self.alive and not self.stopping:
            self.stopping, self.ended = True, why
            self.world.say(f"{self.name} ends: {why}")
            self.begin(self.stop())

    async def call(self, hook: Callable[..., Awaitable[None]], partitions: set[TopicPartition]) -> None:
        """A hook of a rebalance: one that raises ends the worker."""
        try:
            await hook(partitions)
        except Exception as error:
            self.end(f"a rebalance failed: {described(error)}")
            raise

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """Partitions have come."""
        await self.app.hooks["on_assigned"](partitions)

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """Partitions go."""
        await self.app.hooks["on_revoked"](partitions)

    def next_offset(self, tp: TopicPartition) -> int | None:
        """What the worker needs next."""
        offset: int | None = self.app.hooks["next_offset"](tp)
        return offset

    def progress(self) -> Progress:
        """How far it is with the partitions that it has."""
        return self.worker.progress() if self.begun else {}

    def pending(self) -> int:
        """Partitions with work that is not durable yet."""
        return self.worker.status().pending if self.begun else 0

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self.heard_s = self.world.loop.time()
            if not self.world.group.has(self) and not self.stopping:
                await self.consumer.revoke()  # it was given up: what it had is another's
                self.world.group.join(self)

    async def _status(self) -> None:
        while True:
            status = self.worker.status()
            self.world.statuses[self.name] = (self.world.loop.time(), status)
            await asyncio.sleep(0.5)

    async def _drain(self) -> None:
        spool = MachineSpool(self)
        delivery = Delivery(spool, self.world.sink, lambda _: None, lambda: False)  # type: ignore[arg-type]
        while True:
            with contextlib.suppress(SinkError, OSError):
                delivery.deliver(spool.rows(50))
            await asyncio.sleep(0.5)

    # The guard ------------------------------------------------------------------------------------------------------

    def fail(self, sentence: str) -> None:
        """A part has failed."""
        self.end(sentence)

    def watch(self, sentence: str, limit_s: float) -> Any:
        """A pulse that nobody listens to."""
        return SimpleNamespace(beat=lambda: None)

    def left_s(self) -> float:
        """Until it has to end."""
        return 0.0 if self.stopping else math.inf


class SimStore(FileStore):
    """The real store; when a head is kept is written down."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.world.config)
        self._world, self._machine = machine.world, machine.name

    def put_head(self, name: str, head: Head) -> None:
        """All that came of a partition's input so far is known to have been sent."""
        super().put_head(name, head)
        self._world.heads.append((name, self._machine, self._world.broker.taken))


def store_of(world: World, machine: Machine | None) -> FileStore | TopicsStore:
    """Where the state of a run is kept, for a process; or to be looked at, once all is over."""
    if world.config.state.store == "kafka":
        return TopicsStore(world, machine)
    return FileStore(world.config) if machine is None else SimStore(machine)


class SimParts(Parts):
    """The parts of a worker; what is said of logs is written down."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)  # type: ignore[arg-type]
        self._machine = machine

    def mention(self, part: str, text: str) -> None:
        """What has happened, and is over."""
        self._machine.world.said.append(f"{part}: {text}")
        super().mention(part, text)


class MachineSpool:
    """The spool that all workers of the folder share, as one of them sees it."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._spool = machine, machine.world.spool

    def append(self, points: list[Point | Block]) -> None:
        """Add points, unless the disk is full."""
        self._machine.effect("spool append")
        self._machine.world.disk.check("spool")
        self._spool.append(points)
        self._machine.world.note_points(Points(points))

    def drop(self, ids: list[int]) -> None:
        """Forget what the sink has taken."""
        self._machine.effect("spool drop")
        self._machine.world.disk.check("spool")
        self._spool.drop(ids)

    def read(self, n: int, after: int = 0) -> list[tuple[int, Point]]:
        """The oldest points."""
        return self._spool.read(n, after)

    def rows(self, n: int) -> list[tuple[range, Point | Block]]:
        """The oldest points, blocks whole."""
        return self._spool.rows(n)

    def set_aside(self, number: int, reason: str) -> None:
        """What the sink will never take."""
        self._spool.set_aside(number, reason)

    def __len__(self) -> int:
        return len(self._spool)


class SimApp:
    """What the worker uses of a Faust app."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.producer = SimProducer(machine)
        self._agents: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {}
        self._tasks: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._timers: list[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = []
        self.hooks: dict[str, Any] = {}
        self._consumer: SimConsumer | None = None
        self.crash_reason: BaseException | None = None

    @property
    def most_pending(self) -> int:
        """Messages that waited for the broker at one time."""
        return self.producer.most

    def agent(self, topic: str, name: str) -> Callable[[Any], Any]:
        """Declare the agent of a topic."""
        return lambda agent: self._agents.setdefault(topic, agent)

    def task(self, task: Any) -> None:
        """Declare what runs beside the agents."""
        self._tasks.append(task)

    def timer(self, interval_s: float) -> Callable[[Any], Any]:
        """Declare what is done again and again."""
        return lambda task: self._timers.append((interval_s, task))

    async def crash(self, error: BaseException) -> None:
        """Something has failed for good."""
        self.crash_reason = error
        self._machine.end(described(error))

    async def maybe_start_producer(self) -> SimProducer:
        """It is always there."""
        return self.producer

    def start(self) -> None:
        """Run all that was declared."""
        self._consumer = self._machine.consumer = SimConsumer(self._machine, self._agents)
        for topic, agent in self._agents.items():
            self._machine.begin(agent(self._consumer.streams[topic]))
        for task in self._tasks:
            self._machine.begin(task())
        for interval_s, timer in self._timers:
            self._machine.begin(self._again_and_again(interval_s, timer))
        self._machine.begin(self._consumer.fetch_for_ever())
        self._machine.begin(self._consumer.commit_for_ever())

    async def _again_and_again(self, interval_s: float, timer: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await asyncio.sleep(interval_s * self._machine.world.chance.uniform(0.5, 1.5))
            await timer()
