"""Bets on panes that resemble their neighbours, simulated."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from flowlib.table import Floats
from stream_app.trainer.shadow.bets import LENGTHS, PANES_MIN, BlockBet

NEEDED = 40.0


def series(g: np.random.Generator, n: int, correlation: float, sd: float) -> Floats:
    """``(n,)`` numbers of mean 0, each like the one before."""
    x, noise = np.empty(n), g.standard_normal(n) * sd * np.sqrt(1 - correlation**2)
    x[0] = sd * g.standard_normal()
    for i in range(1, n):
        x[i] = correlation * x[i - 1] + noise[i]
    return x


def decided(numbers: Floats, null: float) -> int:
    """After how many numbers the bet is won; 0 where it is not."""
    bet = BlockBet.of(1.0, null)
    for n, x in enumerate(numbers.tolist(), 1):
        bet.take(x)
        if bet.e_value >= NEEDED:
            return n
    return 0


@pytest.mark.parametrize(("correlation", "sd"), [(0.0, 0.1), (0.5, 0.1), (0.9, 0.1), (0.97, 0.1)])
def test_panes_that_are_alike_win_no_bet_for_a_model_that_is_no_better(
    seed: int, correlation: float, sd: float
) -> None:
    """A bet on single panes wins with .43 where they are correlated by .9, and with .65 by .97; this one with .02."""
    g = np.random.default_rng(seed)
    won = sum(decided(series(g, 600, correlation, sd), 0.0) > 0 for _ in range(60))
    assert won <= 10, won


@pytest.mark.parametrize(("correlation", "gain", "within"), [(0.0, 0.4, 60), (0.5, 0.4, 120), (0.9, 0.4, 800)])
def test_a_gain_is_seen_all_the_same(seed: int, correlation: float, gain: float, within: int) -> None:
    g = np.random.default_rng(seed)
    for _ in range(10):
        n = decided(gain + series(g, 2_000, correlation, 0.1), 0.01)
        assert PANES_MIN <= n <= within


def test_blocks_become_longer_with_the_correlation() -> None:
    g, lengths = np.random.default_rng(1), []
    for correlation in (0.0, 0.8, 0.97):
        bet = BlockBet.of(1.0, 0.0)
        for x in series(g, 2_000, correlation, 0.1).tolist():
            bet.take(x)
        lengths.append(bet.length)
    assert lengths[0] == LENGTHS[0] < lengths[1] < lengths[2]


def test_a_bet_that_was_written_down_goes_on_as_if_it_had_not_been() -> None:
    one, other = BlockBet.of(1.0, 0.01), BlockBet.of(1.0, 0.01)
    for x in series(np.random.default_rng(2), 300, 0.7, 0.2).tolist():
        one.take(x)
        other.take(x)
        other = msgspec.msgpack.decode(msgspec.msgpack.encode(other), type=BlockBet)
    assert one == other
    assert one.e_value == other.e_value
