"""Draws follow the law, and what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.evaluation import two_sample
from flowlib.table import Table
from tests.flowlib.conftest import draw, trained


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


def test_draws_of_rounded_columns_are_rounded_as_they_are_and_cannot_be_told_by_it() -> None:
    """Whole numbers among converted units, and readings from 2 on: a classifier sees both at once in a plain draw."""
    g = np.random.default_rng(55)
    level = np.exp(1.0 + 0.5 * g.standard_normal((6_000, 1)))
    x = np.maximum(level * np.exp(0.3 * g.standard_normal((6_000, 2))), 2.0)
    x[:, 0] = np.where(g.random(6_000) < 0.9, np.round(x[:, 0]), np.round(x[:, 0] / 0.2856) * 0.2856)
    rows = Table.of(np.round(x, 4))
    parts = [rows.take(np.arange(start, start + 2_000)) for start in (0, 2_000, 4_000)]
    fitted = Density.fit(FeatureSpec(("sulphur", "ozone")), *parts, 0, trained(max_steps=250))
    drawn = fitted.sample_given(parts[2], 1).numeric
    assert drawn.min() >= x.min()
    assert np.mean(drawn[:, 0] == np.round(drawn[:, 0])) == pytest.approx(0.9, abs=0.04)
    assert two_sample(fitted, parts[2], np.arange(2_000) // 50)[0].value < 0.65


def test_rows_that_are_pushed_out_lie_so_many_times_as_far_in_the_same_direction(density: Density) -> None:
    rows = draw(300, 54)
    rows = rows.take(np.abs(density.score(rows).z).max(axis=1) < 1.5)
    made, before = density.pushed_out(rows, 1.5), density.score(rows)
    after = density.score(made)
    np.testing.assert_array_equal(made.numeric.shape, rows.numeric.shape)
    np.testing.assert_array_equal(np.isnan(made.numeric), np.isnan(rows.numeric))
    np.testing.assert_allclose(after.z, 1.5 * before.z, atol=2e-2)
    assert len(density.pushed_out(rows.take(np.arange(0)), 1.5)) == 0
