"""Who writes the events: in two halves, and between them something may be done to the topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.kafka.types import TopicPartition
from tests.simulation.cast import SOURCES
from tests.simulation.events import Body
from tests.simulation.scenario import BEGIN_S, LENGTH_S

if TYPE_CHECKING:
    from tests.simulation.world import World

NOTICED_S = 7.0
"""So long it takes a worker at most to look whether a log is still the one that it was."""


@dataclass(frozen=True)
class Segment:
    """Records of a source partition that are there to be scored.

    Attributes:
        first: offset of the first one.
        values: their bodies.
        anew: whether they are the first ones of another topic.
    """

    first: int
    values: list[Body]
    anew: bool = False


class Producing:
    """Produces the workload of a run, and writes down what of it there is to be scored."""

    def __init__(self, world: World) -> None:
        self._world, self._scenario = world, world.scenario
        bodies = world.scenario.workload.bodies
        at = [0 if partition >= SOURCES else len(rows) // 2 for partition, rows in enumerate(bodies)]
        self._halves = [
            [rows[:half] for rows, half in zip(bodies, at, strict=True)],
            [rows[half:] for rows, half in zip(bodies, at, strict=True)],
        ]
        if world.scenario.idle >= 0:
            self._halves[1][world.scenario.idle] = []

    async def produce(self) -> None:
        """All of it."""
        await asyncio.sleep(BEGIN_S)
        await self._spread(self._halves[0])
        if self._scenario.interlude == "retention":
            await self._lose_some()
        elif self._scenario.interlude == "made_anew":
            await self._make_anew()
        elif self._scenario.interlude == "eaten":
            await self._eat()
        else:
            if self._scenario.interlude == "grown":
                self._grow()
            await self._spread(self._halves[1])
            for partition in range(len(self._halves[1])):
                self._note(partition, 0)

    def _grow(self) -> None:
        """The topic gets a partition; the group notices that a little later."""
        world = self._world
        world.broker.grow(world.config.topics.events)
        world.say("the events topic has another partition")
        world.loop.call_later(world.chance.uniform(0.0, 2.0), world.group.changes)

    async def _spread(self, rows: list[list[Body]]) -> None:
        """Rows of all partitions, a few at a time."""
        world, at = self._world, [0] * len(rows)
        left = sum(map(len, rows))
        while left:
            partition = world.chance.choice([p for p in range(len(rows)) if at[p] < len(rows[p])])
            some = rows[partition][at[partition] : at[partition] + world.chance.randint(1, 14)]
            self._append(partition, some)
            at[partition] += len(some)
            left -= len(some)
            await asyncio.sleep(world.chance.uniform(0.0, LENGTH_S / 7))

    def _append(self, partition: int, rows: list[Body]) -> None:
        for body in rows:
            self._world.append(self._world.config.topics.events, partition, body)

    def _note(self, partition: int, first: int, anew: bool = False) -> None:
        """The log from an offset on is there to be scored."""
        log = self._world.broker.logs[TopicPartition(self._world.config.topics.events, partition)]
        values = [record.value for record in log.records[first:]]
        self._world.segments[partition].append(Segment(first, values, anew))

    async def _all_done(self) -> int:
        """Wait until nothing is left to do, then stop all workers; how many there were."""
        world = self._world
        world.heal()
        await world.until(world.is_quiet, "the first half is done", 0.3)
        wanted, world.wanted = world.wanted, 0
        for machine in world.living():
            await asyncio.wait({world.loop.begin(machine, machine.stop())})
        return wanted

    async def _lose_some(self) -> None:
        """While no worker runs, events come, and the first of them are deleted."""
        wanted = await self._all_done()
        firsts = self._append_and_expire()
        self._world.wanted = wanted
        await self._go_on_from(firsts)

    async def _eat(self) -> None:
        """The same under the feet of workers, one of which may be killed soon after."""
        world, topic = self._world, self._world.config.topics.events
        world.wanted = await self._all_done()
        await world.until(lambda: bool(world.living()) and world.is_quiet(), "workers are back", 2.0)
        world.broker.withheld.add(topic)
        firsts = self._append_and_expire()
        world.say(f"retention has passed the workers: the log begins at {firsts}")
        await asyncio.sleep(world.chance.uniform(0.0, NOTICED_S) if world.chance.random() < 0.3 else 0.0)
        world.broker.withheld.clear()
        world.broker.wake_all()
        if world.chance.random() < 0.5:
            world.loop.call_later(world.chance.uniform(0.0, NOTICED_S), self._kill_one)
        await self._go_on_from(firsts)

    def _kill_one(self) -> None:
        if living := self._world.living():
            self._world.chance.choice(living).kill()

    def _append_and_expire(self) -> list[int]:
        """The first events of the second half come, and the first ones of these are deleted; where the logs begin."""
        world, firsts = self._world, list[int]()
        for partition, rows in enumerate(self._halves[1]):
            tp, half = TopicPartition(world.config.topics.events, partition), len(rows) // 2
            end = world.broker.logs[tp].end
            self._note(partition, 0)
            self._append(partition, rows[:half])
            firsts.append(end + world.chance.randint(0, half))
            world.broker.expire(tp, firsts[-1])
            if firsts[-1] > end:
                world.lost.append((tp, end, firsts[-1]))
        return firsts

    async def _go_on_from(self, firsts: list[int]) -> None:
        await self._spread([rows[len(rows) // 2 :] for rows in self._halves[1]])
        for partition, first in enumerate(firsts):
            self._note(partition, first)

    async def _make_anew(self) -> None:
        """The topic is deleted and made again: while no worker runs, or under their feet."""
        world, topic = self._world, self._world.config.topics.events
        wanted = await self._all_done()
        if world.chance.random() < 0.5:
            world.wanted = wanted
            await world.until(lambda: bool(world.living()) and world.is_quiet(), "workers are back", 2.0)
        for partition in range(SOURCES):
            self._note(partition, 0)
        world.broker.make_anew(topic, forget_commits=world.chance.random() < 0.5)
        world.anew_at = world.broker.taken
        world.say("the events topic is made anew")
        for partition in range(SOURCES):  # less than there was, so that it is seen to be another log
            self._append(partition, self._halves[1][partition][:2])
        await asyncio.sleep(NOTICED_S if world.wanted else 0.0)
        world.wanted = wanted
        await self._spread([rows[2:] for rows in self._halves[1]])
        for partition in range(SOURCES):
            self._note(partition, 0, anew=True)
