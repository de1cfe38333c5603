"""Draws follow the law, and what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.density import Density
from tests.flowlib.conftest import draw


def test_samples_follow_the_law(density: Density) -> None:
    n = 4_000
    made = density.sample(n, 7)
    present = ~np.isnan(made.numeric).any(axis=1)
    a, b, c = made.numeric[present].T
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(0.8, abs=0.04)
    assert c[made.categories[present, 0] == "y"].mean() - c[made.categories[present, 0] == "x"].mean() == pytest.approx(
        2, abs=0.15
    )
    assert np.isnan(made.numeric[:, 2]).mean() == pytest.approx(0.1, abs=0.02)
    assert (made.categories[:, 0] == "y").mean() == pytest.approx(0.3, abs=0.03)
    again = density.sample(n, 7)
    np.testing.assert_array_equal(made.numeric, again.numeric)
    assert not np.array_equal(made.numeric, density.sample(n, 8).numeric)


def test_samples_given_rows_keep_their_gaps_and_categories(density: Density) -> None:
    rows = draw(500, 53)
    made = density.sample_given(rows, 3)
    np.testing.assert_array_equal(np.isnan(made.numeric), np.isnan(rows.numeric))
    np.testing.assert_array_equal(made.categories, rows.categories)
    assert density.score(made).log_prob.mean() == pytest.approx(density.score(rows).log_prob.mean(), abs=0.2)


def test_rows_that_are_pushed_out_lie_so_many_times_as_far_in_the_same_direction(density: Density) -> None:
    rows = draw(300, 54)
    rows = rows.take(np.abs(density.score(rows).z).max(axis=1) < 1.5)
    made, before = density.pushed_out(rows, 1.5), density.score(rows)
    after = density.score(made)
    np.testing.assert_array_equal(made.numeric.shape, rows.numeric.shape)
    np.testing.assert_array_equal(np.isnan(made.numeric), np.isnan(rows.numeric))
    np.testing.assert_allclose(after.z, 1.5 * before.z, atol=2e-2)
    assert len(density.pushed_out(rows.take(np.arange(0)), 1.5)) == 0
