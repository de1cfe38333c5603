"""A small world that has moved a little, models of it that are real and cheap, and trials of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib import Density, FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from flowlib.table import DAY_MS, Floats
from stream_app.config import TrainerConfig
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

SPEC = FeatureSpec(("x", "y", "z"))
EVENT_ALPHA = 0.0025
MOVED = 0.3
"""How far the world has moved since the champion was trained, in standard deviations of one column."""

GATE_ROWS, GATE_DAYS = 5_000, 20


def rows(n: int, seed: int, moved: float = MOVED, day: int = 0, days: int = GATE_DAYS) -> Table:
    """Rows over some days, of two slices; ``y`` and ``z`` follow ``x``."""
    g = np.random.default_rng(seed)
    x = g.standard_normal(n) + moved
    numeric = np.column_stack([x, 0.8 * x + 0.6 * g.standard_normal(n), np.exp(0.3 * x + 0.3 * g.standard_normal(n))])
    time_ms = day * DAY_MS + np.arange(n) * days * DAY_MS // n
    return Table.of(numeric, slices=np.where(g.random(n) < 0.9, "north", "south"), time_ms=time_ms)


def fit(
    train: Table, calibration: Table, valid: Table | None = None, steps: int = 100, warm: Density | None = None
) -> Density:
    """A real model, in a third of a second."""
    config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=steps, check_every=steps // 2)))
    valid = train.take(np.arange(len(train)) % 6 == 0) if valid is None else valid
    return Density.fit(SPEC, train, valid, calibration, 0, config, warm)


def mixed(table: Table, numeric: Floats, share: float, seed: int = 0) -> Table:
    """The table with other numbers in a share of its rows, at random."""
    chosen = np.random.default_rng(seed).random(len(table)) < share
    return table.with_numeric(np.where(chosen[:, None], numeric, table.numeric))


def trial(candidate: Density, champion: Density | None, gate: Table, **more: Any) -> Trial:
    """A trial by days."""
    settings = more.pop("settings", TrainerConfig())
    return Trial(candidate, champion, gate, gate.time_ms // DAY_MS, settings, EVENT_ALPHA, **more)


def failed(found: list[Gate]) -> set[str]:
    """Names of the gates that failed."""
    return {gate.name for gate in found if not gate.passed}
