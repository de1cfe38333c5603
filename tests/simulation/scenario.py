"""What goes wrong in a run: drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.simulation.cast import SOURCES
from tests.simulation.events import Traits, Workload, workload

KINDS = (
    "kill",
    "kill_between_effects",
    "rebalances",
    "pause",
    "disk_full",
    "broker_away",
    "unacknowledged",
    "sent_twice",
    "sink_fails",
    "swap",
    "junk_between_stages",
    "idle",
    "actions",
    "retention",
    "made_anew",
    "eaten",
    "grown",
    "topics_store",
)
"""What may go wrong; or how the state is kept."""

INTERLUDES = ("retention", "made_anew", "eaten", "grown")
"""Those that are done to the events topic, of which a run has one at most."""

EFFECTS = ("produce", "acknowledged", "spool append", "disk", "disk rename", "ack", "commit", "spool drop", "")
"""Kinds of effects that a process is killed before; "" is any. Where the state is kept in topics, what is written there
stands for the disk.
"""

BEGIN_S, LENGTH_S = 1.0, 6.0
"""When events begin to come, and for how long they do."""


@dataclass(frozen=True)
class Act:
    """Something that happens at a time: one of the world's ``do_…`` methods, with a number that it may draw from."""

    at_s: float
    name: str
    number: int = 0


@dataclass
class Scenario:
    """A run before it begins.

    Attributes:
        kinds: what goes wrong.
        config: name of the configuration.
        workers: how many there are from the start.
        acts: what happens beside the events, in order of time.
        interlude: what is done to the topic between the two halves of the events, while nothing is under way, but for
            one that is "grown".
        idle: the source partition that gets no events in the second half; -1 for none.
    """

    seed: int
    kinds: set[str]
    config: str
    workers: int
    workload: Workload
    acts: list[Act] = field(default_factory=list)
    interlude: str = ""
    idle: int = -1


def draw(seed: int, only: set[str] | None = None) -> Scenario:
    """The scenario of a seed.

    Args:
        seed: any whole number.
        only: what goes wrong; None for what the seed says.
    """
    chance = random.Random(seed)
    kinds = {kind for kind in KINDS if chance.random() < 0.18} if only is None else set(only)
    interludes = [kind for kind in INTERLUDES if kind in kinds]
    interlude = chance.choice(interludes) if interludes else ""
    kinds -= {*interludes} - {interlude}
    rows, span_ms = chance.randint(14, 24), chance.randint(3_000, 5_500)
    made = Scenario(
        seed,
        kinds,
        config=chance.choice(["newest", "median"]),
        workers=chance.randint(1, 2),
        workload=workload(seed, chance, _traits(chance), rows, span_ms, SOURCES + (interlude == "grown")),
        interlude=interlude,
        idle=chance.randrange(2) if "idle" in kinds else -1,
    )
    for kind in sorted(kinds):
        made.acts += [
            Act(chance.uniform(BEGIN_S, BEGIN_S + LENGTH_S), kind, chance.randrange(2**32))
            for _ in range(chance.randint(1, 3))
        ]
    made.acts.sort(key=lambda act: act.at_s)
    return made


def _traits(chance: random.Random) -> Traits:
    def some(share: float) -> float:
        return share if chance.random() < 0.4 else 0.0

    return Traits(
        junk=some(0.1),
        late=some(0.1),
        ahead=some(0.08),
        future=some(0.08),
        twice=some(0.15),
        jitter_ms=chance.choice([20.0, 150.0, 600.0]),
        drift=chance.random() < 0.5,
    )
