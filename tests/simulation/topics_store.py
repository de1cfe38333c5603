"""The state of a worker in topics: the real store and the real journal, with clients of the broker of a run.

What they ask for is done at once, in a loop of their own and in another thread, while the worker waits: so one run is
the same as another one here too. A process may end between any two records, and compaction may come at any time.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

from stream_app.kafka.types import TopicPartition
from stream_app.worker.bridge import Bridge
from stream_app.worker.heads import Head
from stream_app.worker.journal import Journal
from stream_app.worker.kafka_state import KafkaStore
from tests.simulation.broker import FeedReader
from tests.simulation.virtual import CURRENT, VirtualLoop

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

T = TypeVar("T")
_POOL = ThreadPoolExecutor(1, "simulated state")


class SimBridge(Bridge):
    """Does what it is asked for before anything else happens.

    Args:
        world: the run.
        machine: the process whose clients these are; None once all is over.
    """

    def __init__(self, world: World, machine: Machine | None) -> None:
        self._what, self._patience_s, self._loop = "the state", 60.0, VirtualLoop()
        self.world, self.machine = world, machine
        world.bridges.append(self)

    def begin(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Done when this returns, unless the process ends meanwhile."""
        context, done = contextvars.copy_context(), Future[T]()
        context.run(CURRENT.set, self)
        try:
            done.set_result(_POOL.submit(context.run, self._loop.run_until_complete, work).result())  # type: ignore[arg-type]
        except KafkaError as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """End what still follows a topic."""
        if not self._loop.is_closed():
            _POOL.submit(self._loop.run_until_complete, self._end()).result()
            self._loop.close()

    async def _end(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    @property
    def paused(self) -> bool:
        """Whose turn a callback in its loop is: never that of one which is paused, since somebody waits for it."""
        return False


class StateReader(FeedReader):
    """A consumer of the one partition that it is assigned."""

    def __init__(self, **_: Any) -> None:
        super().__init__(CURRENT.get().world.broker, "", asyncio.sleep)

    async def getmany(self, *_: Any, timeout_ms: int, max_records: int | None = None) -> Any:
        """What there is; where there is nothing, after a while."""
        return await super().getmany(timeout_ms)


class StateProducer:
    """A producer that waits for each acknowledgement, or does not get it."""

    def __init__(self, **_: Any) -> None:
        self._bridge: SimBridge = CURRENT.get()

    async def start(self) -> None:
        """Nothing to do."""

    stop = start

    async def send(
        self, topic: str, value: bytes | None, *, partition: int, key: bytes | None = None, headers: Any = ()
    ) -> asyncio.Future[Any]:
        """Put a record on its partition."""
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(await self.send_and_wait(topic, value, partition=partition, key=key, headers=headers))
        return sent

    async def send_and_wait(
        self, topic: str, value: bytes | None, *, partition: int, key: bytes | None = None, headers: Any = ()
    ) -> Any:
        """The same, as the broker has taken it."""
        world, machine = self._bridge.world, self._bridge.machine
        if machine is not None:
            machine.effect("disk rename")
            if world.loop.time() < world.faults.broker_away_until_s:
                raise KafkaTimeoutError
        times = 1 + (world.chance.random() < world.faults.sent_twice)
        for _ in range(times):
            record = world.broker.append(TopicPartition(topic, partition), value, headers, key)
        if world.chance.random() < world.faults.unacknowledged:
            raise KafkaTimeoutError
        return record


class SimUnread:
    """What the group has not committed of a source partition."""

    def __init__(self, config: Any, bridge: SimBridge) -> None:
        self._broker, self._topic = bridge.world.broker, config.topics.events

    def of(self, partition: int) -> int | None:
        """Records; None as long as nothing is committed."""
        tp = TopicPartition(self._topic, partition)
        committed = self._broker.committed.get(tp)
        return None if committed is None else max(self._broker.logs[tp].end - committed, 0)

    def close(self) -> None:
        """Nothing to do."""


class SimSecrets:
    """Ids of lines that are the same in each run of a seed."""

    def token_hex(self, n: int) -> str:
        """So many bytes."""
        return str(CURRENT.get().world.chance.randbytes(n).hex())


class TopicsStore(KafkaStore):
    """The real store; when a head is kept is written down, and what others write is read meanwhile, or is not."""

    def __init__(self, world: World, machine: Machine | None) -> None:
        self._world, self._machine = world, machine
        bridge, journal = SimBridge(world, machine), Journal(world.config)
        bridge.run(journal.start())
        super().__init__(world.config, bridge, journal)

    def put_head(self, name: str, head: Head) -> None:
        """All that came of a partition's input so far is known to have been sent, where the broker has taken that."""
        self._follow()
        super().put_head(name, head)
        if self._machine is not None and self._heads[-1].exception() is None:
            self._world.heads.append((name, self._machine.name, self._world.broker.taken))

    def put_base(self, name: str, base: bytes) -> None:
        """Keep a base."""
        self._follow()
        super().put_base(name, base)

    def has_news(self) -> bool:
        """Whether there are more decisions than when they were last read."""
        self._follow()
        return super().has_news()

    def _follow(self) -> None:
        if self._world.chance.random() < 0.5:
            self._bridge.run(self._journal.read())
