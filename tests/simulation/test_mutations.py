"""Each checker can fail: faults that are put into the code are found."""

from __future__ import annotations

import pytest

from tests.simulation.checkers import CHECKERS, check
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.running import simulated
from tests.simulation.scenario import draw
from tests.simulation.world import World

SEEDS = 40
"""So many are tried; the same in every run."""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_in_the_code_is_found(mutation: Mutation) -> None:
    seen: set[str] = set()
    with simulated():
        for seed in range(SEEDS):
            world = World(draw(seed, set(mutation.kinds.split())))
            with mutation.applied():
                world.run()
            seen |= {text.partition(":")[0] for text in check(world)}
            if seen >= {*mutation.found_by.split()}:
                print(f"{seed + 1} seeds: {', '.join(sorted(seen))}")
                return
    pytest.fail(f"{SEEDS} runs, and only {seen or 'nothing'} was found")


def test_every_checker_is_proven_to_fail() -> None:
    live = {"conservation", "watermark", "bounds", "recovery"}
    proven = {name for mutation in MUTATIONS for name in mutation.found_by.split()}
    assert {checker.__name__ for checker in CHECKERS} | live <= proven
