"""Models that no rows make: real ones whose weights or calibration are made wrong by hand, or the rows that judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowlib.density import Density, Scores
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from stream_app.config import TrainerConfig
from stream_app.trainer.gates.gate import summary, verdict
from stream_app.trainer.gates.running import run_gates
from tests.trainer.gates import worlds as small

FEW = 200
"""Rows that a model may learn by heart."""
Row = dict[str, Any]


class Deaf:
    """A model that can score one row of a hundred; all else is the real one's."""

    def __init__(self, density: Density) -> None:
        self._density, self.spec = density, density.spec

    def score(self, table: Table) -> Scores:
        """Its scores."""
        scores = self._density.score(table)
        return replace(scores, scorable=scores.scorable & (np.arange(len(table)) % 100 == 0))

    def sample(self, n: int, seed: int, times: Any = None) -> Table:
        """Of the real one."""
        return self._density.sample(n, seed, times)


@dataclass(frozen=True)
class _World:
    """A champion of before the world moved a little, a good model of after it, and the rows."""

    champion: Density
    good: Density
    train: Table
    calibration: Table
    gate: Table

    @classmethod
    def made(cls) -> _World:
        champion = small.fit(small.rows(3_000, 1, moved=0.0), small.rows(4_000, 2, moved=0.0))
        train, calibration = small.rows(3_000, 3), small.rows(4_000, 4)
        gate = small.rows(small.GATE_ROWS, 5, day=100)
        return cls(champion, small.fit(train, calibration), train, calibration, gate)


def at_the_gates() -> Iterator[Row]:
    """Rows as in :mod:`tests.bench.loop.bad_models`."""
    world = _World.made()
    yield from _calibrations(world)
    yield from _weights(world)
    yield from _memories(world)
    yield from _others(world)


def _judged(kind: str, candidate: Any, before: Density | None, rows: Table, **more: Any) -> Row:
    found = run_gates(small.trial(candidate, before, rows, **{"anchor": before, **more}))
    names = sorted(gate.name for gate in found if not gate.passed)
    return {"kind": kind, "verdict": verdict(found), "refused_by": names, "through": "gates", "says": summary(found)}


def _calibrations(world: _World) -> Iterator[Row]:
    good, rows = world.good, world.calibration
    deaf = good.recalibrated(rows.with_numeric(rows.numeric * 3.0), 0)
    loud = good.recalibrated(rows.take(good.score(rows).p_value > 0.04), 0)
    yield _judged("a good model, for comparison", good, world.champion, world.gate)
    yield _judged("never alarms", deaf, world.champion, world.gate)
    yield _judged("4.9 % alarms", loud, world.champion, world.gate)
    yield _judged("4.9 % alarms, a first model", loud, None, world.gate)
    yield _judged("cannot score 99 % of the gate rows", Deaf(good), world.champion, world.gate)


def _weights(world: _World) -> Iterator[Row]:
    g, train = np.random.default_rng(6), world.train
    yield _judged("the model in service once more", world.good, world.good, world.gate)
    worse = small.fit(train.with_numeric(train.numeric + 0.15), world.calibration)
    yield _judged("loses about .05 nats in every round", worse, world.good, world.gate)
    shuffled = train.with_numeric(np.column_stack([g.permutation(column) for column in train.numeric.T]))
    blind = small.fit(shuffled, world.calibration)
    yield _judged("blind to what belongs together", blind, world.champion, world.gate)
    far = train.with_numeric(train.numeric + 3.0)
    there = world.gate.with_numeric(world.gate.numeric + 3.0)
    yield _judged("far from the anchor", small.fit(far, far), world.champion, there)


def _memories(world: _World) -> Iterator[Row]:
    g = np.random.default_rng(9)
    train, calibration, gate = (_attacked(g, t) for t in (world.train, world.calibration, world.gate))
    learned, rows = small.fit(train, calibration), world.gate.take(np.arange(200))
    rows = rows.with_numeric(_cluster(g, 200))
    none = {"anchor": None}
    yield _judged(
        "has learned an attack that nobody has judged", learned, world.champion, gate, bursts={"i": rows}, **none
    )
    yield _judged(
        "has forgotten a confirmed incident", learned, world.champion, gate, canaries={"confirmed": rows}, **none
    )


def _others(world: _World) -> Iterator[Row]:
    gate = world.gate
    yield _judged("50 rows judge", world.good, world.champion, gate.take(np.arange(0, len(gate), 100)))
    yield _judged("four days judge", world.good, world.champion, gate.take(np.arange(len(gate) // 5)))
    south = {name: getattr(world, name).slices == "south" for name in ("train", "calibration", "gate")}

    def apart(name: str) -> Table:
        table: Table = getattr(world, name)
        return table.with_numeric(table.numeric + 12.0 * south[name][:, None])

    champion = small.fit(apart("train"), apart("calibration"))
    north = small.fit(world.train.take(~south["train"]), world.calibration.take(~south["calibration"]))
    yield _judged("one slice alarms always", north, champion, apart("gate"))
    few = world.train.take(np.arange(FEW))
    learn = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=600, batch=FEW, noise=0.0, lr=5e-3)))
    by_heart = Density.fit(small.SPEC, few, few, world.calibration, 0, learn)
    attack: Row = {"members": few, "others": small.rows(FEW, 11), "settings": TrainerConfig(membership_gate=True)}
    yield _judged("knows its training rows by heart", by_heart, None, gate, **attack)


def _cluster(g: np.random.Generator, n: int) -> Any:
    return np.array([2.0, -4.0, 3.0]) + 0.1 * g.standard_normal((n, 3))


def _attacked(g: np.random.Generator, table: Table) -> Table:
    return small.mixed(table, _cluster(g, len(table)), 0.05)
