"""The control over slices: its error over patience is alpha at most, and it finds more than Bonferroni does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.bench.incidents.many import CONTROLS, POWER_AT, Many, Ran, figures, run
from tests.seeds import seed_of

ALPHA = 0.05
SETTINGS = {
    "nothing changes": Many(slices=100, drifted=0, alpha=ALPHA, horizon=60),
    "nothing changes, all alike": Many(slices=100, drifted=0, alpha=ALPHA, horizon=60, dependent=True),
    "a few change": Many(slices=200, drifted=10, alpha=ALPHA, change_pane=20, horizon=70),
    "bounded scores": Many(slices=200, drifted=10, alpha=ALPHA, change_pane=20, horizon=70, scores="bounded"),
    "a few of dependent ones": Many(slices=200, drifted=10, alpha=ALPHA, change_pane=20, horizon=70, dependent=True),
}
RUNS = 200


@cache
def seed() -> int:
    """That of all tests of this file, which share the runs."""
    return seed_of("tests/simulation/test_control.py")


@cache
def runs(name: str) -> list[dict[str, Ran]]:
    of = replace(SETTINGS[name], seed=seed())
    return [run(of, number) for number in range(RUNS)]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_error_over_patience_is_alpha_at_most(name: str, control: str) -> None:
    found = figures(SETTINGS[name], [ran[control] for ran in runs(name)])
    error, half = found["error_over_patience"], found["upper95"] - found["error_over_patience"]
    said = f"seed {seed()}: {error:.4f} ± {half:.4f} at {found['at']}, of {ALPHA}"
    print(said)
    assert error - half <= ALPHA, said


@pytest.mark.parametrize("name", ["a few change", "bounded scores", "a few of dependent ones"])
def test_it_finds_more_than_bonferroni(name: str) -> None:
    ours, theirs = (figures(SETTINGS[name], [ran[of] for ran in runs(name)])["power_at"] for of in CONTROLS)
    said = f"seed {seed()}: {ours}, Bonferroni {theirs}"
    print(said)
    assert all(ours[str(n)] >= theirs[str(n)] for n in POWER_AT), said
    assert ours["10"] > theirs["10"] + 0.05, said


def test_a_shiryaev_roberts_value_is_no_e_value() -> None:
    """Were it one, something would be rejected with a probability of alpha at most, however long one waits."""
    of = SETTINGS["nothing changes"]
    some = sum(ran["e-d-BH"].fdp[-1] for ran in runs("nothing changes")) / RUNS
    said = f"seed {seed()}: something is rejected within {of.horizon} panes in {some:.2f} of the runs"
    print(said)
    assert some > 2 * ALPHA, said
