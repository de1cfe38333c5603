"""Gaussian mixtures beside the flow: what they compute, whatever rows are beside, and what cannot be restored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from flowlib.gaussians import COMPONENTS, MIXTURES, Gaussians
from flowlib.table import Singles


def lumps(n: int, d: int, seed: int = 0) -> Singles:
    """Rows in three lumps."""
    g = np.random.default_rng(seed)
    return (3.0 * g.integers(-1, 2, (n, 1)) + g.standard_normal((n, d)) @ g.standard_normal((d, d))).astype(np.float32)


def test_it_is_the_mean_density_of_the_mixtures() -> None:
    x = lumps(800, 3)
    gaussians = Gaussians.fit(x, 0)
    assert len(gaussians.means) == MIXTURES * COMPONENTS
    fresh = lumps(100, 3, seed=1)
    density = np.zeros(100)
    for weight, mean, factor in zip(np.exp(gaussians.log_weights), gaussians.means, gaussians.whitening, strict=True):
        density += weight * multivariate_normal(mean, np.linalg.inv(factor @ factor.T)).pdf(fresh)
    off = gaussians.of(fresh) + np.log(density)
    np.testing.assert_allclose(off, off[0], atol=1e-6)
    assert (gaussians.of(np.vstack([fresh, gaussians.means.astype(np.float32)])) >= 0).all()


@pytest.mark.parametrize("d", [1, 2, 5, 10, 31, 64])
def test_a_row_does_not_depend_on_those_beside_it(d: int) -> None:
    x = lumps(500, d)
    gaussians, order = Gaussians.fit(x, 0), np.random.default_rng(1).permutation(500)
    together = gaussians.of(x)
    np.testing.assert_array_equal(gaussians.of(x[order]), together[order])
    np.testing.assert_array_equal([gaussians.of(x[i : i + 1])[0] for i in range(0, 500, 7)], together[::7])


def test_the_slope_is_the_derivative() -> None:
    x = lumps(600, 4)
    gaussians, at = Gaussians.fit(x, 0), x[:50].astype(np.float64)
    for j in range(4):
        ahead, behind = at.copy(), at.copy()
        ahead[:, j] += 0.05
        behind[:, j] -= 0.05
        rise = gaussians.of(ahead.astype(np.float32)) - gaussians.of(behind.astype(np.float32))
        np.testing.assert_allclose(gaussians.slope(x[:50])[:, j], rise / 0.1, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("rows", [np.zeros((1, 2)), np.ones((50, 3)), np.arange(40.0).reshape(2, 20)])
def test_few_rows_and_constant_ones_are_no_trouble(rows: Singles) -> None:
    rows = rows.astype(np.float32)
    gaussians = Gaussians.fit(rows, 0)
    assert np.isfinite(gaussians.of(rows)).all()
    off = np.float32(9) * np.where(np.arange(rows.shape[1]) % 2, 1, -1).astype(np.float32)
    assert (gaussians.of(rows + off) > gaussians.of(rows)).all(), "what is far is far"


def test_the_same_rows_and_seed_give_the_same_and_broken_parts_are_refused() -> None:
    x = lumps(300, 3)
    gaussians, state = Gaussians.fit(x, 5), Gaussians.fit(x, 5).to_state()
    np.testing.assert_array_equal(Gaussians.from_state(state).of(x), gaussians.of(x))
    for name, broken in (
        ("whitening", -state["whitening"]),
        ("means", state["means"][:, :2]),
        ("log_weights", np.full_like(state["log_weights"], np.nan)),
        ("means", state["means"] + np.inf),
    ):
        with pytest.raises(ValueError, match="gaussians"):
            Gaussians.from_state(state | {name: broken})
