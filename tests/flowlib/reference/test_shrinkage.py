"""Partial pooling: means come from where they are known, and what is not known of them is told."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.reference.shrinkage import pool


@pytest.mark.parametrize("tau", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("s", [5, 60])
def test_two_deviations_cover_nineteen_slices_of_twenty(tau: float, s: int) -> None:
    rng, c = np.random.default_rng(3), 400
    variance = rng.uniform(0.001, 0.02, (s, c))
    truth = 2.0 + tau * rng.standard_normal((s, c))
    pooled = pool(truth + np.sqrt(variance) * rng.standard_normal((s, c)), variance)
    off = np.abs(pooled.mean[1:] - truth) / pooled.sd[1:]
    assert (off <= 2).mean() > 0.945
    new = 2.0 + tau * rng.standard_normal((200, c))
    assert (np.abs(new - pooled.mean[0]) <= 2 * pooled.sd[0] + 1e-12).mean() > 0.945, "a slice that was never seen"


def test_slices_alike_are_known_better_together() -> None:
    rng = np.random.default_rng(4)
    own = 1.0 + 0.1 * rng.standard_normal((100, 50))
    pooled = pool(own, np.full((100, 50), 0.01))
    assert pooled.sd[1:].mean() < 0.05
    assert np.abs(pooled.mean - 1.0).mean() < 0.03


def test_slices_that_differ_keep_their_own() -> None:
    rng = np.random.default_rng(5)
    own = 3.0 * rng.standard_normal((40, 10))
    pooled = pool(own, np.full((40, 10), 0.01))
    assert np.abs(pooled.mean[1:] - own).max() < 0.1
    assert (pooled.sd[1:] > 0.08).all()
    assert (pooled.sd[0] > 2).all()


def test_a_slice_without_rows_is_any_other_slice() -> None:
    own, variance = np.array([[0.0], [1.0], [77.0]]), np.array([[0.01], [0.01], [np.inf]])
    pooled = pool(own, variance)
    assert pooled.mean[3] == pooled.mean[0] != 77.0
    assert pooled.sd[3] == pytest.approx(pooled.sd[0], rel=0.3)


def test_of_one_slice_its_own_mean_is_all_there_is() -> None:
    pooled = pool(np.array([[2.5]]), np.array([[0.04]]))
    assert pooled.mean[1] == pytest.approx(2.5)
    assert pooled.sd[1] == pytest.approx(0.2, rel=1e-3)
    assert pooled.sd[0] > 100, "of another one nothing is known"


def test_of_none_nothing_is_known_and_nothing_breaks() -> None:
    pooled = pool(np.zeros((2, 1)), np.full((2, 1), np.inf))
    assert np.isfinite(pooled.mean).all()
    assert np.isfinite(pooled.sd).all()


def test_the_order_of_slices_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    own, variance = rng.standard_normal((9, 4)), rng.uniform(0.1, 1.0, (9, 4))
    order = rng.permutation(9)
    a, b = pool(own, variance), pool(own[order], variance[order])
    assert np.allclose(a.mean[1:][order], b.mean[1:])
    assert np.allclose(a.sd[1:][order], b.sd[1:])
