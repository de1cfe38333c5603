"""Wilson's interval: its textbook values, its limits, and that arrays give what single shares give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from flowlib.intervals import wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (5, 10), (10, 10), (3, 1_000), (499, 500)])
def test_it_is_the_interval_that_scipy_gives(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(0.95, "wilson")
    low, high = wilson(hits, n)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-4)


def test_of_nothing_anything_may_hold() -> None:
    low, high = wilson(0, 0)
    assert (float(low), float(high)) == (0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=20))
def test_arrays_give_the_same_bits_as_single_shares_and_stay_inside(pairs: list[tuple[int, int]]) -> None:
    n = np.array([max(pair) for pair in pairs])
    hits = np.array([min(pair) for pair in pairs])
    low, high = wilson(hits, n)
    for i in range(len(n)):
        assert (low[i], high[i]) == wilson(hits[i], n[i])
    share = hits / np.maximum(n, 1)
    assert ((low >= 0) & (low <= share + 1e-12) & (share <= high + 1e-12) & (high <= 1)).all()


def test_shapes_are_broadcast() -> None:
    low, high = wilson(np.ones((3, 1)), np.array([[1, 10, 100]]))
    assert low.shape == high.shape == (3, 3)
