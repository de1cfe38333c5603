"""What stands beside the likelihood: when the columns count, what a wide table gets, and that far is far."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from flowlib import FlowDensity
from flowlib.beside import COLUMNS, agreement, weights_of
from flowlib.frames.estimator import WEIGHTS
from flowlib.gaussians import WIDTH_MAX, Gaussians
from flowlib.margins import Margins


def fitted(x: Any, **settings: Any) -> FlowDensity:
    return FlowDensity(max_steps=settings.pop("max_steps", 60), **settings).fit(x)


def test_columns_count_as_far_as_they_rank_rows_as_the_likelihood_does() -> None:
    g = np.random.default_rng(0)
    nll = g.standard_normal(500)
    assert agreement(nll, 2 * nll + 1) == 1.0
    assert agreement(nll, g.standard_normal(500)) == agreement(nll, -nll) == 0.0
    assert 0.2 < agreement(nll, nll + 1.3 * g.standard_normal(500)) < 0.8
    assert agreement(nll[:2], nll[:2]) == agreement(nll, np.ones(500)) == 0.0, "nothing is known"
    x = g.standard_normal((100, 2))
    both = Gaussians.fit(x.astype(np.float32), 0), Margins.fit(x)
    distance = np.column_stack([nll, nll])
    assert weights_of(both, 0.5, nll, distance).tolist() == [0.5, 0.5 * COLUMNS]
    assert weights_of(both[1:], 0.5, nll, distance[:, :1]).tolist() == [0.5]


def test_a_table_whose_columns_only_go_together_is_not_judged_by_them() -> None:
    g = np.random.default_rng(0)
    angle = g.uniform(0, 2 * np.pi, 1_500)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * g.standard_normal((1_500, 2))
    apart = g.standard_normal((1_500, 2)) * g.chisquare(4, (1_500, 1))
    assert fitted(ring, max_steps=400).density_.calibration.weights[1] < 0.2
    assert fitted(apart).density_.calibration.weights[1] > 0.8 * COLUMNS


def test_the_middle_of_a_ring_is_stranger_than_the_ring() -> None:
    g = np.random.default_rng(0)
    angle = g.uniform(0, 2 * np.pi, 1_000)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * g.standard_normal((1_000, 2))
    model = fitted(ring)
    assert model.predict([[0.0, 0.0], [1.0, 0.0]]).tolist() == [-1, 1], "the mixture sees it after 60 steps"


@pytest.mark.parametrize("distance", [*WEIGHTS, None])
def test_each_distance_can_be_had_is_kept_and_grows_outside(distance: str | None) -> None:
    g = np.random.default_rng(0)
    x = g.standard_normal((600, 3))
    x[::9, 1] = np.nan
    model = fitted(x, distance=distance)
    far = np.array([[k, 0.0, 0.0] for k in (3.0, 10.0, 100.0, 1e4, 1e8)])
    decision = model.decision_function(far)
    assert (np.diff(decision) < 0).all()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(far), decision)
    if distance is None:
        order = np.argsort(model.score_samples(x))
        assert (np.diff(model.decision_function(x)[order]) >= 0).all(), "the likelihood alone ranks"


def test_wide_tables_get_no_mixture_and_no_such_distance_is_refused() -> None:
    x = np.random.default_rng(0).standard_normal((30, WIDTH_MAX + 1))
    assert [type(one) for one in fitted(x, max_steps=1).density_.calibration.beside] == [Margins]
    with pytest.raises(ValueError, match="distance = 'knn': there are mixture, columns, base"):
        FlowDensity(distance="knn").fit(x)


def test_p_values_of_fresh_rows_are_uniform() -> None:
    x = np.random.default_rng(3).standard_normal((3_000, 3)) ** 3
    model = fitted(x[:1_500], calibration_share=0.5)
    p = model.p_values(x[1_500:])
    for alpha in (0.01, 0.1, 0.5):
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 750)), alpha
