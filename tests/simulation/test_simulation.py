"""Some hundred runs of the real stages and workers, with all kinds of things going wrong: each says what it should."""

from __future__ import annotations

import pytest

from tests.simulation.running import run, simulated, told

FIRST, PARTS, SEEDS = 720_000_000, 8, 90
"""The same seeds in every run, so that what fails is what was changed; ``make soak`` takes fresh ones."""
AGAIN = 3
"""Seeds that are run twice."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_goes_wrong_the_same_is_said(part: int) -> None:
    first = FIRST + part * SEEDS
    print(f"seeds {first} to {first + SEEDS - 1}: python -m tests.simulation.soak --first {first} --seeds {SEEDS}")
    with simulated():
        for seed in range(first, first + SEEDS):
            world, found = run(seed)
            assert not found, told(world, found)


def test_a_seed_is_one_run_byte_for_byte() -> None:
    with simulated():
        for seed in range(FIRST, FIRST + AGAIN):
            assert run(seed)[0].digest() == run(seed)[0].digest(), seed
