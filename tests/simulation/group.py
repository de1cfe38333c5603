"""The group of the workers: who is in it, and who has which partition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_app.kafka.types import TopicPartition

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

SESSION_S = 2.0
"""A member that says nothing for so long is out of the group."""
HEARTBEAT_S = 0.4


class Group:
    """Hands out the partitions anew whenever a member joins, leaves or is not heard of any more.

    Attributes:
        expelled: how many members were given up that are alive: they may go on for a while.
    """

    def __init__(self, world: World, topics: list[str]) -> None:
        self._world, self.topics = world, topics
        self._members: list[Machine] = []
        self._generation = 0
        self.expelled = 0
        self._changed = asyncio.Event()

    def changes(self) -> None:
        """There is something else to hand out."""
        self._changed.set()

    def join(self, machine: Machine) -> None:
        """Ask for a part of the work."""
        if machine not in self._members:
            self._members.append(machine)
            self._changed.set()

    def leave(self, machine: Machine) -> None:
        """Give all back."""
        if machine in self._members:
            self._members.remove(machine)
            self._changed.set()

    def has(self, machine: Machine) -> bool:
        """Whether it is a member."""
        return machine in self._members

    def takes_commits_of(self, machine: Machine, generation: int) -> bool:
        """Whether a commit is one of the members of now."""
        return machine in self._members and generation == self._generation

    async def coordinate(self) -> None:
        """For ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(0.05)
            await self._hand_out()

    async def expel_the_silent(self) -> None:
        """Notice members that do not answer."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            now_s = self._world.loop.time()
            for machine in list(self._members):
                if now_s - machine.heard_s > SESSION_S:
                    self._expel(machine)

    async def _hand_out(self) -> None:
        members = list(self._members)
        await self._ask({machine: machine.consumer.revoke() for machine in members})  # who gives back may still commit
        self._generation += 1
        members = [machine for machine in members if machine in self._members]
        shares: dict[Machine, set[TopicPartition]] = {machine: set() for machine in members}
        partitions = [tp for topic in self.topics for tp in self._world.broker.partitions(topic)]
        self._world.chance.shuffle(partitions)
        for number, tp in enumerate(partitions if members else ()):
            shares[members[number % len(members)]].add(tp)
        generation = self._generation
        await self._ask({machine: machine.consumer.assign(share, generation) for machine, share in shares.items()})

    async def _ask(self, asked: dict[Machine, object]) -> None:
        tasks = {machine: self._world.loop.begin(machine, work) for machine, work in asked.items()}  # type: ignore[arg-type]
        if tasks:
            await asyncio.wait(tasks.values(), timeout=SESSION_S)
        for machine, task in tasks.items():
            if not task.done() or not machine.alive:
                self._expel(machine)

    def _expel(self, machine: Machine) -> None:
        self.expelled += machine.alive
        self.leave(machine)
