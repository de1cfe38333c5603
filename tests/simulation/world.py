"""A run: the broker, the disk, the sink, the workers, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from schemas.codecs import WireMessage
from schemas.signing import KEY_ID, SIGNATURE
from stream_app.errors import DriftflowError, SinkError
from stream_app.kafka.types import TopicPartition
from stream_app.sinks.spool import Spool
from stream_app.stages.decisions import Decision
from stream_app.stages.outputs import Field, Point, Points
from stream_app.stages.partitioning import judge_signals, signals_size
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.losses import SEVERITIES
from tests.simulation.acting import Acting
from tests.simulation.broker import Broker
from tests.simulation.cast import SOURCES, WIDTH, cast
from tests.simulation.full_disk import Disk
from tests.simulation.group import Group
from tests.simulation.machine import Machine, store_of
from tests.simulation.producing import Producing, Segment
from tests.simulation.recovering import recovered
from tests.simulation.scenario import BEGIN_S, LENGTH_S, Scenario
from tests.simulation.topics_store import SimBridge
from tests.simulation.virtual import CURRENT, VirtualLoop
from tests.simulation.watching import Watching

QUIET_S = 2.0
"""So long nothing may happen until all counts as done: longer than anybody waits for an idle partition."""
PATIENCE_S = 60.0
"""How long it may take until all is done, once nothing goes wrong any more."""

Key = tuple[str, tuple[tuple[str, str], ...], int]
Fields = tuple[tuple[str, Field], ...]


@dataclass
class Faults:
    """What is wrong with the broker now.

    Attributes:
        broker_away_until_s: it takes no message until then.
        sent_twice, unacknowledged: chance that a batch comes twice, or that its sender is told that it has not come.
    """

    broker_away_until_s: float = 0.0
    sent_twice: float = 0.0
    unacknowledged: float = 0.0


class Store:
    """A sink in memory, which may fail before or after it has written."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.points: dict[Key, Fields] = {}
        self.fails_until_s, self.after = 0.0, False

    def write(self, batch: list[Point]) -> None:
        """Write points; those that are there are replaced."""
        fails = self._world.loop.time() < self.fails_until_s
        if fails and not self.after:
            raise SinkError("the sink is away")
        self.points |= {(point.measurement, point.tags, point.time_ms): point.fields for point in batch}
        if fails:
            raise SinkError("the sink has not answered in time")

    def close(self) -> None:
        """Nothing to do."""


class World:
    """One run of a scenario.

    Attributes:
        spooled: every point that was ever appended, by what identifies it.
        said: what workers have said of logs.
        junk: places of what was put between the stages and is nothing of theirs.
        trouble: what was found to be wrong while it ran, and by which checker.
        heads: name of each head that was kept, by whom, and how many records the broker had by then.
        lost: what retention has deleted before it was read.
        anew_at: how many records the broker had when the events topic was made anew; 0 where it was not.
        segments: by source partition, what was there to be scored.
        decisions, final: in the end; None where no worker can start any more.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.chance = scenario, random.Random(scenario.seed + 1)
        self.loop = VirtualLoop()
        self.folder = Path(tempfile.mkdtemp(prefix="driftflow-run-", dir=_fast_folder()))
        self.config = msgspec.structs.replace(cast().configs[scenario.config], root=str(self.folder))
        if "topics_store" in scenario.kinds:
            state = msgspec.structs.replace(self.config.state, store="kafka")
            self.config = msgspec.structs.replace(self.config, state=state)
        topics = self.config.topics
        sizes = {
            topics.events: SOURCES,
            topics.partials: WIDTH,
            topics.evidence: 1,
            topics.signals: signals_size(SOURCES, WIDTH),
            topics.dead_letters: 1,
            topics.models: 1,
            topics.actions: 1,
            topics.state: WIDTH,
            topics.decisions: 1,
        }
        self.broker, self.disk, self.sink, self.faults = Broker(sizes), Disk(self), Store(self), Faults()
        self.spool = Spool(self.folder / "spool.sqlite", 100_000)
        self.spool._db.execute("PRAGMA synchronous = OFF")
        self.watching = Watching(self)
        self.spooled: dict[Key, Fields] = {}
        self.said: list[str] = []
        self.junk: list[tuple[str, int, int]] = []
        self.actions: list[str] = []
        self.trouble: list[tuple[str, str]] = []
        self.segments: list[list[Segment]] = [[] for _ in scenario.workload.bodies]
        self.heads: list[tuple[str, str, int]] = []
        self.lost: list[tuple[TopicPartition, int, int]] = []
        self.anew_at = 0
        self.decisions: list[Decision] = []
        self.final: Pipeline | None = None
        self.statuses: dict[str, tuple[float, Any]] = {}
        self.machines: list[Machine] = []
        self.bridges: list[SimBridge] = []
        self.history: list[str] = []
        self.effects: Counter[str] = Counter()
        self._digest = hashlib.sha256()
        self.wanted, self.healed = scenario.workers, False

    # What is written down ---------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Something worth knowing where a run fails."""
        self.history.append(f"{self.loop.time():8.3f} {text}")

    def note(self, machine: Machine, kind: str) -> None:
        """An effect of a process."""
        self.effects[kind] += 1
        self._digest.update(f"{self.loop.time():.9f} {machine.name} {kind}\n".encode())

    def note_points(self, points: Points) -> None:
        """Points are in the spool: what is there twice has to say the same."""
        for point in points:
            key = (point.measurement, point.tags, point.time_ms)
            if dict(point.fields).get("detector") in SEVERITIES:
                continue  # of a log: what a crash makes another worker tell again is told at another time
            if self.spooled.setdefault(key, point.fields) != point.fields and point.measurement != "models":
                self.blame("points", f"{key} was {self.spooled[key]}, and then {point.fields}")

    def blame(self, checker: str, text: str) -> None:
        """A checker has found something."""
        self.trouble.append((checker, text))

    def digest(self) -> str:
        """Of every effect, and of every byte that the broker has."""
        for tp, log in sorted(self.broker.logs.items()):
            for record in log.records:
                self._digest.update(repr((tp, record.value, unsigned(record.headers))).encode())
        return self._digest.hexdigest()

    def may_come_twice(self, tp: TopicPartition) -> bool:
        """Whether a message may be sent twice by the client itself. What JUDGE says to people is kept out: that
        aiokafka's producer is not idempotent is none of our doing.
        """
        return tp != (self.config.topics.signals, judge_signals(WIDTH))

    # The run --------------------------------------------------------------------------------------------------------

    def run(self) -> World:
        """From beginning to end."""
        try:
            self.loop.set_task_factory(_task)
            self.loop.run_until_complete(self._live())
            self._look_at_the_end()
        finally:
            self._clear_up()
        return self

    def _look_at_the_end(self) -> None:
        """What a worker would find that were started now."""
        store = store_of(self, None)
        self.decisions = store.decisions()
        try:
            self.final = recovered(self, store)
        except DriftflowError as error:
            self.blame("recovery", f"a worker that were started now would end: {error}")

    def _clear_up(self) -> None:
        for machine in self.machines:
            if machine.alive:
                machine.kill()
        self.loop.run_until_complete(self._end_all())
        self.loop.close()
        for bridge in self.bridges:
            bridge.close()
        self.spool.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _end_all(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _live(self) -> None:
        topics = self.config.topics
        self.group = Group(self, [topics.events, topics.partials, topics.evidence])
        self.send(topics.models, cast().notices[0])
        for work in (self.group.coordinate(), self.group.expel_the_silent(), self._supervise(), Acting(self).act()):
            self.loop.begin(None, work)
        await Producing(self).produce()
        await asyncio.sleep(max(BEGIN_S + LENGTH_S - self.loop.time(), 0.0))
        self.heal()
        await self.until(self.is_quiet, "all is done")
        self.remaining, self.wanted = self.left(), 0
        for machine in self.living():
            await asyncio.wait({self.loop.begin(machine, machine.stop())})

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.say("nothing goes wrong from here on")
        self.healed, self.faults = True, Faults()
        self.disk.full_until_s, self.disk.full_at, self.sink.fails_until_s = 0.0, None, 0.0
        for machine in self.living():
            machine.crash_at = None
            self.loop.thaw(machine)

    # Workers --------------------------------------------------------------------------------------------------------

    def living(self) -> list[Machine]:
        """Workers that are not dead."""
        return [machine for machine in self.machines if machine.alive]

    async def _supervise(self) -> None:
        """Start another worker where one is missing."""
        while True:
            if len(self.living()) < self.wanted:
                self.say(f"worker {len(self.machines)} starts")
                machine = Machine(self, f"worker {len(self.machines)}")
                self.machines.append(machine)
                self.loop.begin(machine, machine.run())
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))

    # Waiting --------------------------------------------------------------------------------------------------------

    async def until(self, is_so: Callable[[], bool], what: str, quiet_s: float = QUIET_S) -> None:
        """Wait until something is so, and has been for a while."""
        until_s, since_s = self.loop.time() + PATIENCE_S, self.loop.time()
        while self.loop.time() - since_s < quiet_s:
            await asyncio.sleep(0.1)
            if not is_so():
                since_s = self.loop.time()
            if self.loop.time() > until_s:
                self.blame("drains", f"it is not so after {PATIENCE_S:.0f} s that {what}: {self.left()}")
                return

    def is_quiet(self) -> bool:
        """Whether all is done that there is to do."""
        return not self.left()

    def left(self) -> list[str]:
        """What is still to be done."""
        settled = {tp: done for machine in self.living() for tp, (done, _) in machine.progress().items()}
        ends = {tp: log.end for tp, log in self.broker.logs.items() if tp.topic in self.group.topics}
        behind = [
            f"{tp.topic}/{tp.partition} is settled up to {settled.get(tp)} of {end}"
            for tp, end in ends.items()
            if (settled.get(tp) or 0) < end
        ]
        waits = [f"{len(self.spool)} points wait"] if len(self.spool) else []
        unsaved = [
            f"{machine.name} has {n} partitions to save" for machine in self.living() if (n := machine.pending())
        ]
        return behind + waits + unsaved

    def append(self, topic: str, partition: int, value: bytes | None, headers: Any = ()) -> int:
        """Add a message to a topic; its offset."""
        return self.broker.append(TopicPartition(topic, partition), value, headers).offset

    def send(self, topic: str, message: WireMessage) -> None:
        """Add a message to a topic of one partition."""
        self.append(topic, 0, message.value, message.headers)


def unsigned(headers: Any) -> tuple[Any, ...]:
    """Headers without a signature: the keys of a run are its own."""
    return tuple((name, text) for name, text in headers if name not in (KEY_ID, SIGNATURE))


def _task(loop: Any, coroutine: Any, **settings: Any) -> asyncio.Task[Any]:
    """A task is its process's: it ends where that is killed."""
    context = settings.get("context")
    machine = context.get(CURRENT) if context is not None else CURRENT.get()
    task = asyncio.Task(coroutine, loop=loop, **settings)
    if machine is not None:
        machine.tasks.add(task)
        task.add_done_callback(machine.tasks.discard)
    return task


def _fast_folder() -> str | None:
    """Where files lie in memory."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
