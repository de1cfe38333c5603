"""Every kind of bad model that once passed is refused by the gate that is there for it, and a good one passes.

The models are real: the same flow and calibration as in service, made wrong in the way that the name says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from flowlib import Density, Scores, Table
from stream_app.config import TrainerConfig
from stream_app.trainer.gates.gate import summary, verdict
from stream_app.trainer.gates.running import run_gates
from tests.trainer.gates.worlds import GATE_ROWS, fit, mixed, rows, trial
from tests.trainer.gates.worlds import failed as failed_of

GARBAGE_SHARE, ATTACK_SHARE, EQUAL_SHARE = 0.3, 0.05, 0.3


@dataclass(frozen=True)
class World:
    """The models and rows that all tests share; ``champion`` is of before the world moved, ``good`` of after it."""

    champion: Density
    good: Density
    train: Table
    calibration: Table
    gate: Table


@pytest.fixture(scope="module")
def world() -> World:
    champion = fit(rows(3_000, 1, moved=0.0), rows(4_000, 2, moved=0.0))
    train, calibration = rows(3_000, 3), rows(4_000, 4)
    return World(champion, fit(train, calibration), train, calibration, rows(GATE_ROWS, 5, day=100))


def judged(world: World, candidate: Density, gate: Table | None = None, **more: Any) -> tuple[str, set[str]]:
    """The verdict, and which gates failed."""
    gate = world.gate if gate is None else gate
    found = run_gates(trial(candidate, world.champion, gate, anchor=world.champion, **more))
    print(summary(found))
    return verdict(found), failed_of(found)


def garbage(n: int) -> Any:
    return np.random.default_rng(8).uniform(-20.0, 20.0, (n, 3))


def attack(n: int) -> Any:
    return np.array([2.0, -4.0, 3.0]) + 0.1 * np.random.default_rng(9).standard_normal((n, 3))


def test_a_good_model_passes(world: World) -> None:
    assert judged(world, world.good) == ("pass", set())


def test_one_that_never_alarms_is_refused(world: World) -> None:
    """0 of 5,000: calibrated on rows that are far stranger than those that come."""
    wide = world.calibration.with_numeric(world.calibration.numeric * 3.0)
    deaf = world.good.recalibrated(wide, 0)
    assert (deaf.score(world.gate).p_value > 0.01).all()
    verdict_of, names = judged(world, deaf)
    assert verdict_of == "refuse"
    assert {"calibration_low", "slices"} <= names


def test_one_whose_tail_was_cut_off_before_it_was_calibrated_is_refused(world: World) -> None:
    """4.9 % alarms, because the strangest four in a hundred were left out of calibration."""
    ordinary = world.calibration.take(world.good.score(world.calibration).p_value > 0.04)
    loud = world.good.recalibrated(ordinary, 0)
    assert 0.035 < float(np.mean(loud.score(world.gate).p_value <= 0.01)) < 0.065
    assert judged(world, loud) == ("refuse", {"calibration_high"})
    first = run_gates(trial(loud, None, world.gate))
    assert (verdict(first), failed_of(first)) == ("refuse", {"calibration_high"}), "of a first model too"


def test_fifty_rows_are_no_judge(world: World) -> None:
    """2 alarms of 50 rows."""
    verdict_of, names = judged(world, world.good, world.gate.take(np.arange(0, GATE_ROWS, 100)))
    assert (verdict_of, "rows" in names) == ("refuse", True)
    blocks = world.gate.take(np.arange(GATE_ROWS // 5))  # four days
    assert "rows" in judged(world, world.good, blocks)[1]


def test_one_that_loses_a_little_is_refused(world: World) -> None:
    """About .049 nats an event, which adds up over the rounds."""
    worse = fit(mixed(world.train, world.train.numeric + 0.15, 1.0), world.calibration)
    found = {gate.name: gate for gate in run_gates(trial(worse, world.good, world.gate))}
    assert -0.12 < (found["likelihood"].figure or 0.0) < -0.02
    assert failed_of(list(found.values())) == {"likelihood"}
    assert verdict(list(found.values())) == "refuse"


class Deaf:
    """A model that cannot score most rows."""

    def __init__(self, density: Density, share: float) -> None:
        self._density, self._share, self.spec = density, share, density.spec

    def score(self, table: Table) -> Scores:
        scores = self._density.score(table)
        return replace(scores, scorable=np.arange(len(table)) % 100 >= self._share * 100)

    def sample(self, *given: Any) -> Table:
        return self._density.sample(*given)


def test_one_that_cannot_score_is_refused(world: World) -> None:
    """99 of 100 rows."""
    verdict_of, names = judged(world, Deaf(world.good, 0.99))  # type: ignore[arg-type]
    assert (verdict_of, "unscorable" in names, "likelihood" in names) == ("refuse", True, True)


def test_one_for_which_a_slice_alarms_always_is_refused(world: World) -> None:
    """The south has moved away, and its rows neither trained nor calibrated the candidate."""
    south = {name: table.slices == "south" for name, table in vars(world).items() if isinstance(table, Table)}

    def apart(name: str) -> Table:
        table = getattr(world, name)
        return table.with_numeric(table.numeric + 12.0 * south[name][:, None])

    champion = fit(apart("train"), apart("calibration"))
    north = fit(world.train.take(~south["train"]), world.calibration.take(~south["calibration"]))
    found = {gate.name: gate for gate in run_gates(trial(north, champion, apart("gate")))}
    assert verdict(list(found.values())) == "refuse"
    assert not found["slices"].passed
    assert found["slices"].detail["slice"] == "south"
    assert "'south'" in found["slices"].says


def test_one_that_learned_garbage_is_refused(world: World) -> None:
    """Three events in ten are noise; on the days that judge there are none, or as many."""

    def spoilt(table: Table) -> Table:
        return mixed(table, garbage(len(table)), GARBAGE_SHARE)

    taken_in = fit(spoilt(world.train), spoilt(world.calibration))
    verdict_of, names = judged(world, taken_in)
    assert verdict_of == "refuse"
    assert {"calibration_low", "likelihood"} <= names
    verdict_of, names = judged(world, taken_in, spoilt(world.gate))
    assert "likelihood" not in names, "that is the trap: it explains the garbage well"
    assert verdict_of != "pass"
    assert "anchor" in names


def test_one_that_learned_an_attack_waits_for_a_person(world: World) -> None:
    """A cluster with five events in a hundred, on the days that judge too: it looks like progress."""

    def attacked(table: Table) -> Table:
        return mixed(table, attack(len(table)), ATTACK_SHARE)

    candidate = fit(attacked(world.train), attacked(world.calibration))
    burst = world.gate.take(np.arange(200))
    burst = burst.with_numeric(attack(200))
    verdict_of, names = judged(world, candidate, attacked(world.gate), bursts={"incident-7": burst})
    assert (verdict_of, names) == ("wait", {"bursts", "anchor"})
    assert judged(world, candidate, attacked(world.gate), canaries={"incident-7": burst}) == (
        "wait",
        {"canaries", "anchor"},
    )
    found = run_gates(trial(candidate, world.champion, attacked(world.gate), bursts={"incident-7": burst}))
    says = next(gate.says for gate in found if gate.name == "bursts")
    assert "in incident incident-7" in says
    assert "a person must say whether they are the new normal" in says
    still = judged(world, world.good, bursts={"incident-7": burst}, canaries={"incident-7": burst})
    assert still == ("pass", set()), "a good model flags it all"


def test_one_that_takes_for_ordinary_what_lies_behind_the_edge_waits_for_a_person() -> None:
    """Five events in a hundred lie at the champion's edge, where it lets them pass: they are hardly strange to it, and
    what lies behind them is not strange to the candidate any more.
    """
    champion = fit(rows(4_000, 1, moved=0.0), rows(4_000, 2, moved=0.0))
    behind = np.array([1.5, -2.0, 1.5])
    edge = champion.pushed_out(rows(2, 3).with_numeric(np.tile(behind, (2, 1))), 0.55).numeric[0]
    g = np.random.default_rng(4)

    def edged(table: Table) -> Table:
        return mixed(table, np.asarray(edge + 0.05 * g.standard_normal((len(table), 3))), 0.05)

    candidate = fit(edged(rows(4_000, 5, moved=0.0)), edged(rows(4_000, 6, moved=0.0)))
    honest = fit(rows(4_000, 7, moved=0.0), rows(4_000, 8, moved=0.0))
    gate = edged(rows(GATE_ROWS, 9, moved=0.0, day=100))
    found = {gate.name: gate for gate in run_gates(trial(candidate, champion, gate, anchor=champion))}
    print(found["anchor"].says)
    assert not found["anchor"].passed
    assert found["anchor"].waits
    assert found["anchor"].detail["beyond"] > found["anchor"].detail["beyond_threshold"]
    assert (found["anchor"].figure or 0.0) <= (found["anchor"].threshold or 0.0), "by its mass it is hardly seen"
    again = {gate.name: gate for gate in run_gates(trial(honest, champion, gate, anchor=champion))}
    assert again["anchor"].detail["beyond"] <= again["anchor"].detail["beyond_threshold"] / 2


def test_one_that_learned_equal_rows_is_refused(world: World) -> None:
    """Three in ten are one and the same row: a spike of the density there pays, and the others lose."""

    def flooded(table: Table) -> Table:
        return mixed(table, np.tile([0.5, 0.5, 1.25], (len(table), 1)), EQUAL_SHARE)

    candidate = fit(flooded(world.train), flooded(world.calibration), steps=200)
    gate = flooded(world.gate)
    new, old = (model.score(gate).log_prob.mean() for model in (candidate, world.champion))
    assert new > old + 0.3, "it looks like progress"
    verdict_of, names = judged(world, candidate, gate)
    assert (verdict_of, "likelihood" in names) == ("refuse", True)


def test_one_that_is_blind_to_a_kind_of_fault_is_refused(world: World) -> None:
    """The columns were shuffled before it was trained: that they belong together it cannot know."""
    g = np.random.default_rng(6)
    shuffled = world.train.with_numeric(np.column_stack([g.permutation(x) for x in world.train.numeric.T]))
    blind = fit(shuffled, world.calibration)
    found = {gate.name: gate for gate in run_gates(trial(blind, world.champion, world.gate))}
    assert verdict(list(found.values())) == "refuse"
    assert not found["recall"].passed
    assert {"unrelated", "offset"} & set(found["recall"].detail["failed"])
    assert "it finds" in found["recall"].says


def test_grave_findings_in_the_data_refuse_by_themselves(world: World) -> None:
    settings = TrainerConfig()
    assert judged(world, world.good, settings=settings, findings=("half of the range is deleted",)) == (
        "refuse",
        {"data"},
    )
