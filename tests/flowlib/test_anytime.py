"""Claims of the anytime-valid tests, by simulation: how often they cry wolf, and how soon they see what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flowlib.anytime import MeanBet, RateBet

RUNS, LENGTH, ALPHA = 1_000, 300, 0.05


def wolf(n: int, alpha: float) -> float:
    """Most false alarms of n runs that chance lets pass, once in 10⁵: a binomial's mean and 4.3 standard deviations."""
    return alpha + 4.3 * math.sqrt(alpha * (1 - alpha) / n)


@pytest.mark.parametrize("kind", ["normal", "skewed", "dependent", "two-valued"])
def test_a_mean_that_is_the_null_is_seldom_told_however_often_one_looks(kind: str) -> None:
    rng, told = np.random.default_rng(11), 0
    for _ in range(RUNS):
        bet, highest, state = MeanBet(-1.0, 1.0, 0.0), 0.0, 1.0
        for _ in range(LENGTH):
            if kind == "normal":
                x = float(np.clip(rng.normal(0, 0.3), -1, 1))
            elif kind == "skewed":
                x = 1.0 if rng.random() < 0.1 else -1.0 / 9
            elif kind == "dependent":  # how large it is depends on all before, its mean does not
                state = min(max(state * (1.2 if rng.random() < 0.5 else 1 / 1.2), 0.05), 1.0)
                x = state if rng.random() < 0.5 else -state
            else:
                x = 1.0 if rng.random() < 0.5 else -1.0
            bet.take(x)
            highest = max(highest, bet.log_capital)
        told += highest >= math.log(1 / ALPHA)
    assert told / RUNS <= wolf(RUNS, ALPHA)


def test_a_mean_above_it_is_seen_and_one_below_it_is_not() -> None:
    rng = np.random.default_rng(12)
    better, worse = MeanBet(-1.0, 1.0, 0.01), MeanBet(-1.0, 1.0, 0.01)
    for x in rng.normal(0.1, 0.2, 500):
        better.take(float(x))
        worse.take(-float(x))
    assert better.e_value > 1e6
    assert worse.e_value == 1.0  # it never bets


@pytest.mark.parametrize("side", ["low", "high"])
def test_a_rate_that_is_the_null_is_seldom_told(side: str) -> None:
    rng, null, told = np.random.default_rng(13), {"low": 0.008, "high": 0.0125}[side], 0
    for _ in range(RUNS):
        bet, highest = RateBet(null, side), 0.0
        for hits in rng.binomial(50, null, 200):
            bet.take(int(hits), 50)
            highest = max(highest, bet.e_value)
        told += highest >= 1 / ALPHA
    assert told / RUNS <= wolf(RUNS, ALPHA)


def test_a_silent_model_and_one_of_many_alarms_are_seen_within_a_thousand_events() -> None:
    """At 10⁻³; the shortest that is possible for a silent one is ln(1000) / −ln(1 − .008) = 860 events."""
    silent, loud, rng = RateBet(0.008, "low"), RateBet(0.0125, "high"), np.random.default_rng(14)
    waited = []
    while silent.e_value < 1_000:
        silent.take(0, 10)
    for _ in range(200):
        loud = RateBet(0.0125, "high")
        while loud.e_value < 1_000:
            loud.take(int(rng.binomial(10, 0.049)), 10)
        waited.append(loud.events)
    assert 860 <= silent.events <= 1_300
    assert np.median(waited) <= 500


def test_clumps_count_as_fewer_events() -> None:
    plain, clumped = RateBet(0.0125, "high"), RateBet(0.0125, "high", design=10.0)
    plain.take(50, 1_000)
    clumped.take(50, 1_000)
    assert plain.e_value > clumped.e_value > 1.0


def test_what_is_no_number_is_refused_and_what_is_out_of_bounds_is_the_bound() -> None:
    bet = MeanBet(-1.0, 1.0, 0.0)
    bet.take(0.5)
    with pytest.raises(ValueError, match="not a number"):
        bet.take(math.nan)
    bet.take(math.inf)
    assert bet.total == 1.5
    assert math.isfinite(bet.log_capital)
