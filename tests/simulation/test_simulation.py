"""A thousand runs of the real stages and workers, with all kinds of things going wrong: each says what it should."""

from __future__ import annotations

import pytest

from tests.simulation.running import base_seed, run, simulated, told

PARTS, SEEDS = 8, 125
AGAIN = 3
"""Seeds that are run twice."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_goes_wrong_the_same_is_said(part: int) -> None:
    first = base_seed() + part * SEEDS
    print(f"seeds {first} to {first + SEEDS - 1}: python -m tests.simulation.soak --first {first} --seeds {SEEDS}")
    with simulated():
        for seed in range(first, first + SEEDS):
            world, found = run(seed)
            assert not found, told(world, found)


def test_a_seed_is_one_run_byte_for_byte() -> None:
    first = base_seed()
    print(f"seeds {first} to {first + AGAIN - 1}")
    with simulated():
        for seed in range(first, first + AGAIN):
            assert run(seed)[0].digest() == run(seed)[0].digest(), seed
