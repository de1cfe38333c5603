"""Intervals by blocks hold where rows of a day, and days beside each other, resemble each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flowlib.bootstrap import difference, mean, variance
from flowlib.intervals import wilson
from flowlib.table import Floats
from tests.seeds import seed_of

DRAWS = 4_000


def days(rng: np.random.Generator, number: int, follows: float, day: float, row: float, rows: int = 50) -> Floats:
    """``(DRAWS, number)`` means of so many rows a day: AR(1) from day to day, with standard deviations of both."""
    state = rng.standard_normal((DRAWS, number))
    for i in range(1, number):
        state[:, i] = follows * state[:, i - 1] + math.sqrt(1.0 - follows**2) * state[:, i]
    return day * state + row / math.sqrt(rows) * rng.standard_normal((DRAWS, number))


def lows(means: Floats, mu: float) -> Floats:
    """The lower ends of all draws, of true mean ``mu``."""
    blocks = np.arange(means.shape[1])
    return np.array([mean(mu + x, blocks).low() for x in means])


@pytest.mark.parametrize("number", [5, 12, 28])
def test_of_independent_days_too_much_is_promised_hardly_more_often_than_stated(number: int) -> None:
    """The lower end shall be above the truth in 2.5 % of all draws; it is in 3.6 %."""
    rng = np.random.default_rng(seed_of(f"bootstrap/{number}"))
    wrong = int((lows(days(rng, number, 0.0, 0.04, 0.3), 0.0) > 0.0).sum())
    assert 0.02 * DRAWS < wrong < 0.05 * DRAWS, wrong


@pytest.mark.parametrize("number", [5, 8, 12, 20, 28])
def test_where_nothing_has_changed_hardly_any_gain_is_found(number: int) -> None:
    """Days follow each other by half, a gain of .01 nats is asked for and none is there: found in .9 % (28 days) to
    3.0 % (five), and surely in less than 5 %.
    """
    rng = np.random.default_rng(seed_of(f"bootstrap/null/{number}"))
    found = int((lows(days(rng, number, 0.5, 0.03, 0.3), 0.0) >= 0.01).sum())
    assert wilson(found, DRAWS)[1] <= 0.05, found


def test_what_is_better_is_found_on_enough_days() -> None:
    """A gain of .05 nats an event is found in 80 % and more: where days differ by .03 nats on 28 of them with 50 events
    each, by .02 on 14 with 200, by .01 on 5 with 2,000. Days follow each other by half.
    """
    rng, found = np.random.default_rng(seed_of("bootstrap/power")), []
    for number, day, rows in ((28, 0.03, 50), (14, 0.02, 200), (5, 0.01, 2_000)):
        found.append(int((lows(days(rng, number, 0.5, day, 0.3, rows), 0.05) >= 0.01).sum()))
    assert wilson(found, DRAWS)[0].min() >= 0.8, found


def test_the_variance_is_that_of_all_draws() -> None:
    """Drawn in full, runs of ⌈∛B⌉ blocks on a circle give B − ℓ in B of it."""
    rng = np.random.default_rng(seed_of("bootstrap/draws"))
    sums = rng.standard_normal(12)
    sums -= sums.mean()
    length, runs = 3, 4
    start = rng.integers(12, size=(200_000, runs))
    drawn = sums[(start[:, :, None] + np.arange(length)) % 12].sum(axis=(1, 2))
    assert variance(sums) == pytest.approx(float(drawn.var()) * 12 / (12 - length), rel=0.03)


def test_nothing_is_sure_of_one_block_and_nothing_is_said_of_none() -> None:
    one = mean(np.array([1.0, 2.0]), np.array([7, 7]))
    assert (one.value, one.interval(), one.blocks) == (1.5, (-math.inf, math.inf), 1)
    none = mean(np.array([]), np.array([], dtype=np.int64))
    assert math.isnan(none.value)
    assert none.low() == -math.inf


def test_a_difference_is_paired() -> None:
    """Rows on which both agree add nothing to the error."""
    hits = np.arange(1_000) % 2 == 0
    same = difference(hits, hits, np.arange(1_000) // 100)
    assert (same.value, same.error) == (0.0, 0.0)


def test_blocks_are_weighed_by_their_rows() -> None:
    values, blocks = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])
    assert mean(values, blocks).value == 0.75
