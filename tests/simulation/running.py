"""One seed, from the scenario to what was found; and how to repeat it."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.checkers import check
from tests.simulation.patches import patched
from tests.simulation.scenario import draw
from tests.simulation.world import World


@contextmanager
def simulated() -> Iterator[None]:
    """For as long as the block runs nothing real is touched, and what a worker says to its log is not printed."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with patched():
            yield
    finally:
        logging.disable(before)


def run(seed: int, only: set[str] | None = None) -> tuple[World, list[str]]:
    """A run and all that is wrong with it; within :func:`simulated`."""
    world = World(draw(seed, only)).run()
    return world, check(world)


def told(world: World, found: list[str]) -> str:
    """What is wrong with a run, what had gone wrong in it, and how to repeat it."""
    seed, kinds = world.scenario.seed, ", ".join(sorted(world.scenario.kinds)) or "nothing"
    return "\n".join(
        [
            f"seed {seed} ({kinds}): {len(found)} faults; repeat it by",
            f"    python -m tests.simulation.soak --first {seed} --seeds 1 --verbose",
            *(f"  {text[:600]}" for text in found[:20]),
        ]
    )


def base_seed() -> int:
    """Another one each time."""
    return random.randrange(10**9)
