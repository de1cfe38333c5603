"""Run lengths of the likelihood detector: rare false alarms when nothing changes, quick ones when something does.

Each slice of one detector is a run of its own, so hundreds of runs cost one vectorised update a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schemas.pane_layout import BETS, PaneLayout, fixed_sum
from stream_app.config import Duration, RuleConfig
from stream_app.stages.watch.detectors import PaneView, Reference
from stream_app.stages.watch.detectors.likelihood import LikelihoodDetector

LAYOUT, PANE = PaneLayout(1), Duration(3_600_000)
ALARM = 20.0
Floats = np.ndarray[Any, np.dtype[np.float64]]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return 1.0 - rng.random(shape)


def pane_rows(p: Floats) -> Any:
    """Columns of ``(runs, n)`` p-values, in the layout's own fixed point."""
    rows = np.zeros((len(p), LAYOUT.width), dtype=np.int64)
    rows[:, LAYOUT.columns["scored"]] = p.shape[1]
    rows[:, LAYOUT.columns["bets"]] = fixed_sum(np.log1p(np.array(BETS) * (p[..., None] - 0.5))).sum(axis=1)
    return rows


def run_lengths(seed: int, runs: int, rows: int, blocks: int, draw: Draw, tail: float = 0.0) -> Floats:
    """Blocks until the statistic first reaches the alarm level, at most ``blocks`` (censored there)."""
    rule = RuleConfig(detector="likelihood", open=ALARM, resolve=1.0, options={"block_hours": 1.0, "tail": tail})
    detector, rng = LikelihoodDetector(LAYOUT, rule, PANE), np.random.default_rng(seed)
    nothing = [Reference(np.zeros((1, 20), np.int64), np.zeros(1), 0.0, 1.0)] * runs
    at, fresh = np.arange(runs), np.zeros(runs, dtype=bool)
    length = np.full(runs, float(blocks))
    for k in range(blocks + 1):  # what block k − 1 did shows when block k begins
        pane = pane_rows(draw(rng, (runs, rows)))
        statistic = detector.update(PaneView(k * PANE, (k + 1) * PANE, at, pane, pane, fresh, nothing))
        length = np.where((statistic >= ALARM) & (length == blocks), np.minimum(length, k), length)
    return length


def mean_interval(length: Floats, z: float = 3.3) -> tuple[float, float]:
    """Normal interval of the mean; z = 3.3 is 99.9 %."""
    half = z * float(length.std(ddof=1)) / np.sqrt(len(length))
    return float(length.mean()) - half, float(length.mean()) + half


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("tail", [0.0, -1.0, 1.0])
def test_false_alarms_are_at_least_as_rare_as_promised(rows: int, tail: float) -> None:
    """Censoring lowers the mean, so a lower bound above A on the censored mean proves the claim for the true one."""
    length = run_lengths(1, 400, rows, 600, uniform, tail)
    low, high = mean_interval(length)
    assert low >= ALARM, f"mean run length in [{low:.1f}, {high:.1f}] blocks, promised at least {ALARM}"
    assert (length > 1).all()


def test_the_bound_is_not_met_by_never_alarming() -> None:
    """One row a block is the sharpest case: nearly every run must end, within a small multiple of A."""
    length = run_lengths(2, 400, 1, 600, uniform)
    assert (length < 600).mean() > 0.95
    assert mean_interval(length)[1] < 10 * ALARM


def test_dependence_inside_a_block_is_allowed_for() -> None:
    """All rows of a block share one p-value: the geometric mean makes them one bet, not twelve."""

    def tied(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return np.repeat(1.0 - rng.random((shape[0], 1)), shape[1], axis=1)

    assert mean_interval(run_lengths(3, 400, 12, 600, tied))[0] >= ALARM


@pytest.mark.parametrize(("rows", "power"), [(1, 5.0), (6, 3.0), (24, 2.0)])
def test_a_shift_to_small_p_is_found_fast(rows: int, power: float) -> None:
    def shifted(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return (1.0 - rng.random(shape)) ** power

    length = run_lengths(4, 300, rows, 200, shifted)
    assert mean_interval(length)[1] < 2 * ALARM
    assert (length < 200).all()
    assert length.mean() < run_lengths(4, 300, rows, 200, uniform).mean() / 2


def test_the_tail_option_looks_one_way_only() -> None:
    def likely(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return rng.random(shape) ** (1 / 4) + 1e-9

    assert run_lengths(5, 200, 6, 100, likely, tail=1.0).mean() < ALARM * 1.5
    assert (run_lengths(5, 200, 6, 100, likely, tail=-1.0) == 100).all()
