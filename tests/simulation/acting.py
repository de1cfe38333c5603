"""What goes wrong, one method each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemas.incidents import Action
from schemas.intake import header_map
from stream_app.kafka.actions import action_message
from stream_app.kafka.types import TopicPartition
from stream_app.models.signing import sign
from stream_app.stages.partitioning import judge_signals
from tests.simulation.cast import WIDTH, cast
from tests.simulation.scenario import EFFECTS

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

MACHINES_MAX = 3

_STRANGE = [
    (b"\xc1junk", (("kind", b"block"),)),
    (b"junk", ()),
    (None, (("kind", b"closed"),)),
    (b"\x93\x01\x02\x03", (("kind", b"judge"),)),
]
"""Messages that are none of ours, on whatever topic."""


class Acting:
    """Does to the world what its scenario says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._judged = TopicPartition(world.config.topics.signals, judge_signals(WIDTH))
        self._does: dict[str, Callable[[random.Random], None]] = {
            "kill": self._kill,
            "kill_between_effects": self._kill_between_effects,
            "rebalances": self._rebalance,
            "pause": self._pause,
            "disk_full": self._fill_disk,
            "broker_away": self._take_broker_away,
            "unacknowledged": self._keep_acknowledgements,
            "sent_twice": self._send_twice,
            "sink_fails": self._let_sink_fail,
            "swap": self._swap,
            "junk_between_stages": self._put_junk,
            "actions": self._speak,
            "topics_store": self._compact,
        }

    async def act(self) -> None:
        """One after the other."""
        for act in self._world.scenario.acts:
            await asyncio.sleep(max(act.at_s - self._world.loop.time(), 0.0))
            if not self._world.healed and act.name in self._does:
                self._does[act.name](random.Random(act.number))

    def _some(self, chance: random.Random) -> Machine | None:
        living = self._world.living()
        return chance.choice(living) if living else None

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._world.loop.call_later(seconds, then)

    def _kill(self, chance: random.Random) -> None:
        if (machine := self._some(chance)) is not None:
            machine.kill()

    def _kill_between_effects(self, chance: random.Random) -> None:
        if (machine := self._some(chance)) is not None:
            machine.crash_at = (chance.choice(EFFECTS), chance.randrange(12))

    def _rebalance(self, chance: random.Random) -> None:
        world = self._world
        more = len(world.living()) < MACHINES_MAX and (world.wanted <= 1 or chance.random() < 0.5)
        world.wanted = max(world.wanted + (1 if more else -1), 1)
        if not more and (machine := self._some(chance)) is not None:
            world.say(f"{machine.name} leaves")
            machine.begin(machine.stop())

    def _pause(self, chance: random.Random) -> None:
        if (machine := self._some(chance)) is not None and not machine.paused:
            machine.paused, seconds = True, chance.uniform(0.2, 5.0)
            self._world.say(f"{machine.name} is paused for {seconds:.3f} s")
            self._world.wanted += self._world.wanted < MACHINES_MAX
            self._later(seconds, lambda: self._world.loop.thaw(machine))

    def _fill_disk(self, chance: random.Random) -> None:
        world = self._world
        if chance.random() < 0.5:
            world.disk.full_until_s = world.loop.time() + chance.uniform(0.1, 1.5)
        else:
            world.disk.full_at = (chance.choice(["spool", "disk", "disk rename", ""]), chance.randrange(6))
        world.say(f"the disk is full until {world.disk.full_until_s:.3f}, or at {world.disk.full_at}")

    def _take_broker_away(self, chance: random.Random) -> None:
        self._world.faults.broker_away_until_s = self._world.loop.time() + chance.uniform(0.5, 3.0)
        self._world.say(f"the broker is away until {self._world.faults.broker_away_until_s:.3f}")

    def _keep_acknowledgements(self, chance: random.Random) -> None:
        faults = self._world.faults
        faults.unacknowledged = 0.5
        self._later(chance.uniform(0.2, 1.0), lambda: setattr(faults, "unacknowledged", 0.0))

    def _send_twice(self, chance: random.Random) -> None:
        self._world.faults.sent_twice = chance.choice([0.1, 0.5, 1.0])

    def _let_sink_fail(self, chance: random.Random) -> None:
        sink = self._world.sink
        sink.fails_until_s, sink.after = self._world.loop.time() + chance.uniform(0.5, 3.0), chance.random() < 0.7

    def _swap(self, chance: random.Random) -> None:
        topic = self._world.config.topics.models
        if len(self._world.broker.logs[TopicPartition(topic, 0)].records) == 1:
            self._world.send(topic, cast().notices[1])
            self._world.say("the second model comes")

    def _put_junk(self, chance: random.Random) -> None:
        topics = self._world.config.topics
        for topic in (topics.partials, topics.evidence):
            value, headers = chance.choice(_STRANGE)
            place = TopicPartition(topic, chance.randrange(len(self._world.broker.partitions(topic))))
            self._world.junk.append((*place, self._world.append(*place, value, headers)))

    def _compact(self, chance: random.Random) -> None:
        self._world.broker.compact(self._world.config.topics.state)
        self._world.say("the state topic is compacted")

    def _speak(self, chance: random.Random) -> None:
        world, topic = self._world, self._world.config.topics.actions
        name = f"action-{len(world.actions)}"
        told = [header_map(record.headers)["ce_subject"] for record in world.broker.logs[self._judged].records]
        verb, incident = chance.choice([("mark", b""), *((verb, told[-1]) for verb in ("accept", "ack") if told)])
        fields = {"at_ms": chance.randrange(5_000), "incident_id": incident.decode()}
        action = Action(id=name, stream=world.config.stream, verb=verb, by="somebody", **fields)  # type: ignore[arg-type]
        for _ in range(chance.randint(1, 2)):  # a retry may bring it twice
            world.send(topic, sign(action_message(action), cast().operator))
        world.actions.append(name)
