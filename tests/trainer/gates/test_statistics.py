"""Where nothing has changed hardly any candidate passes, and one that is better does: claims about all gates together.

What the interval alone promises stands in ``tests/flowlib/test_bootstrap.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowlib import Density, Scores, Table
from flowlib.intervals import wilson
from flowlib.table import DAY_MS, Floats
from stream_app.trainer.gates.gate import verdict
from stream_app.trainer.gates.likelihood import likelihood
from stream_app.trainer.gates.running import run_gates
from tests.seeds import seed_of
from tests.trainer.gates.worlds import fit, rows, trial

REFITS, REQUESTS = 40, 1_000


class Says:
    """A model in service that says log-likelihoods; all that the gate of them asks a model."""

    def __init__(self, scores: Scores, log_prob: Floats) -> None:
        self._scores = replace(scores, log_prob=log_prob)

    def score(self, _: Table) -> Scores:
        return self._scores


@pytest.fixture(scope="module")
def champion() -> Density:
    return fit(rows(6_000, 11, moved=0.0), rows(2_000, 12, moved=0.0), steps=400)


def passed(champion: Density, gain: float, number: int) -> int:
    """How many of so many candidates pass, whose gain has this mean: 14 days of 50 events, which follow each other."""
    gate, rng = rows(700, 13, moved=0.0, days=14), np.random.default_rng(seed_of(f"gates/{gain}"))
    scores, day = champion.score(gate), gate.time_ms // DAY_MS
    old: Any = Says(scores, scores.log_prob)
    judged: Any = trial(old, old, gate)
    once, found = judged.once, 0
    for _ in range(number):
        state = rng.standard_normal(14)
        for i in range(1, 14):
            state[i] = 0.5 * state[i - 1] + 0.75**0.5 * state[i]
        gains = gain + 0.015 * state[day] + 0.3 * rng.standard_normal(700)
        new: Any = Says(scores, scores.log_prob + gains)
        one = replace(judged, candidate=new)
        one.__dict__["once"] = once  # of the rows, which are the same
        found += likelihood(one).passed
    return found


def test_where_nothing_is_gained_at_most_one_request_in_twenty_gets_a_model(champion: Density) -> None:
    promoted = passed(champion, 0.0, REQUESTS)
    assert wilson(promoted, REQUESTS)[1] <= 0.05, promoted


def test_what_gains_enough_is_found(champion: Density) -> None:
    found = passed(champion, 0.06, REQUESTS)
    assert wilson(found, REQUESTS)[0] >= 0.8, found


def test_models_that_are_trained_anew_on_the_same_world_are_refused(champion: Density) -> None:
    """Each goes on from the one in service, which is well trained, on rows of its own, and is judged on others."""
    start, promoted = seed_of("gates/refits") * 1_000, 0
    for number in range(start, start + 4 * REFITS, 4):
        train, calibration = rows(1_000, number, moved=0.0), rows(1_000, number + 1, moved=0.0)
        candidate = fit(train, calibration, steps=20, warm=champion)
        promoted += likelihood(trial(candidate, champion, rows(1_000, number + 2, moved=0.0, day=40))).passed
    assert wilson(promoted, REFITS)[0] <= 0.05, promoted


def test_a_world_that_has_moved_gets_its_model(champion: Density) -> None:
    """Through all gates; a candidate may fail by chance, most do not."""
    found = []
    for number in range(0, 15, 3):
        candidate = fit(rows(2_000, 100 + number), rows(2_000, 101 + number), steps=60, warm=champion)
        gates = run_gates(trial(candidate, champion, rows(3_000, 102 + number, day=40), anchor=champion))
        found.append(verdict(gates))
    assert found.count("pass") >= 3, found
