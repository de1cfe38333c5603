"""Cumulants of blocks: those of single events where events are independent, larger where they come strange in runs."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.reference.dependence import variance_ratio
from flowlib.reference.reference import LAMBDAS
from flowlib.reference.runs import with_runs
from flowlib.table import Floats, Ints

BETS = np.array(LAMBDAS)
NORMAL = np.broadcast_to(BETS**2 / 2, (1, 2, len(BETS)))
SLICES, PANES, N = 20, 240, 6.0


def stream(seed: int, share: float, panes: int = PANES) -> tuple[Floats, Ints, Ints]:
    """Sums of six normal events a pane; in runs of five panes on average they are 2 sd higher."""
    rng = np.random.default_rng(seed)
    on, state = np.zeros((panes, SLICES)), rng.random(SLICES) < share
    for t in range(panes):
        state = np.where(state, rng.random(SLICES) < 0.8, rng.random(SLICES) < 0.2 * share)
        on[t] = state
    sums = rng.standard_normal((panes, SLICES)) * N**0.5 + 2.0 * N * on
    slices, at = np.divmod(np.arange(SLICES * panes), panes)
    return sums.T.reshape(-1, 1), slices, at


def fitted(sums: Floats, slices: Ints, panes: Ints) -> tuple[Floats, Floats]:
    n = np.full_like(sums, N)
    inflation = variance_ratio(sums - sums.mean(), n, slices, panes, SLICES)
    return inflation, with_runs(NORMAL, BETS, sums - sums.mean(), n, inflation[1:], slices, panes)


@pytest.mark.parametrize("seed", range(4))
def test_of_independent_events_they_stay(seed: int) -> None:
    assert (fitted(*stream(seed, 0.0))[1] <= 1.05 * NORMAL).all()


@pytest.mark.parametrize("seed", range(4))
def test_runs_make_much_less_evidence(seed: int) -> None:
    """In panes of their own: there may be longer ones than the reference has, but large bets gain little by them."""
    inflation, cumulants = fitted(*stream(seed, 0.05))
    assert (cumulants[0, 0, 1:] > 1.2 * NORMAL[0, 0, 1:]).all()
    sums, slices, _ = stream(seed + 100, 0.05, 4 * PANES)
    sums = sums - sums.mean()
    highest = {}
    for name, k in (("single", NORMAL), ("runs", cumulants)):
        log_e = (BETS * sums - N * k[0, 0]) / inflation[slices + 1]
        peak, walk = np.zeros(len(BETS)), np.zeros((SLICES, len(BETS)))
        for of_pane in log_e.reshape(SLICES, -1, len(BETS)).transpose(1, 0, 2):
            walk = np.maximum(walk + of_pane, 0.0)
            peak = np.maximum(peak, walk.max(axis=0))
        highest[name] = peak.max()
    assert highest["runs"] < 0.8 * highest["single"]


def test_many_slices_are_looked_at_by_a_part_of_them() -> None:
    rng = np.random.default_rng(0)
    slices, panes = np.divmod(np.arange(300 * 40), 40)
    sums, n = rng.standard_normal((len(panes), 1)), np.ones((len(panes), 1))
    found = with_runs(NORMAL, BETS, sums, n, np.ones((300, 1)), slices, panes)
    assert np.array_equal(found, with_runs(NORMAL, BETS, sums, n, np.ones((300, 1)), slices, panes)), "always the same"
    assert np.isfinite(found).all()


def test_a_channel_without_events_is_left_alone() -> None:
    slices, panes = np.divmod(np.arange(200), 20)
    zeros = np.zeros((200, 1))
    assert np.array_equal(with_runs(NORMAL, BETS, zeros, zeros, np.ones((10, 1)), slices, panes), NORMAL)
