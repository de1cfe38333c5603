"""Evasion: what an attacker may do, what they find, and that a gradient finds at least what chance does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib import Density, FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from flowlib.attack import Box, _slope, _weights, at_random, descend, slips
from flowlib.table import Floats

ALPHA = 0.01
COLUMNS = ("x", "y", "z", "u", "v", "count")


def draw(n: int, seed: int, missing: float = 0.05) -> Table:
    """Five columns that belong together, one of them skewed, and one rounded."""
    g = np.random.default_rng(seed)
    x, w = g.standard_normal((2, n))
    follow = [x + 0.3 * g.standard_normal(n) for _ in range(2)] + [np.exp(w), w + 0.3 * g.standard_normal(n)]
    numeric = np.column_stack([x, *follow, np.rint(4 * x + g.standard_normal(n))])
    numeric[:, 1][g.random(n) < missing] = np.nan
    return Table.of(numeric, categories=g.choice(["a", "b"], (n, 1)).astype(object))


def fit(flow: str = "maf", distance: str = "columns", seed: int = 1) -> Density:
    learn = MaximumLikelihood(TrainConfig(max_steps=120))
    config = FitConfig(flow, distance=distance) if flow == "mixture" else FitConfig(flow, learn, distance=distance)
    parts = draw(1_500, seed), draw(300, seed + 1), draw(1_500, seed + 2)
    return Density.fit(FeatureSpec(COLUMNS, ("kind",)), *parts, seed=0, config=config)


@pytest.fixture(scope="module")
def model() -> Density:
    return fit()


@pytest.fixture(scope="module")
def strange(model: Density) -> Table:
    """Rows that the model calls strange: each has one value of another row, or one that is far off."""
    rows = draw(1_200, 9)
    g, numeric = np.random.default_rng(10), rows.numeric.copy()
    column = g.integers(5, size=len(rows))
    numeric[np.arange(len(rows)), column] = numeric[g.permutation(len(rows)), column] + g.choice([-1.5, 1.5], len(rows))
    rows = rows.with_numeric(numeric)
    return rows.take(~slips(model, rows, ALPHA))


def share(model: Density, rows: Table) -> float:
    return float(slips(model, rows, ALPHA).mean())


def test_an_attacker_stays_within_the_budget_on_the_grid_and_off_what_is_not_theirs(
    model: Density, strange: Table
) -> None:
    box = Box.of(model, draw(500, 3), 0.5, ["x", "y", "count"])
    for moved in (descend(model, strange, box, 1.0, steps=5), at_random(model, strange, box, 1.0, tries=5)):
        move = moved.numeric - strange.numeric
        assert (np.isnan(moved.numeric) == np.isnan(strange.numeric)).all()
        assert (np.abs(np.nan_to_num(move)) <= box.reach * (1 + 1e-9)).all()
        assert (np.nan_to_num(move)[:, 2:5] == 0).all()
        assert (np.nan_to_num(move)[:, 0] != 0).any()
        steps = move[:, 5] / model.encoder.resolution[5]
        assert np.abs(steps - np.rint(steps)).max() < 1e-6
        assert (steps != 0).any()
        assert moved.categories.tolist() == strange.categories.tolist()
    assert strange.numeric is not moved.numeric


@pytest.mark.parametrize("distance", ["columns", "mixture", "base"])
def test_the_slope_is_that_of_the_score(distance: str, model: Density) -> None:
    """Of its parts that are smooth: along it the log-likelihood falls and the distance grows as they say."""
    density = model if distance == "columns" else fit(distance=distance)
    rows, box = draw(300, 4), Box.of(density, draw(500, 3), 0.5)
    scores = density.score(rows)
    context = density.encoder.encode(rows).context
    weights = _weights(density.calibration, scores.log_prob, scores.distance, True)
    slope = _slope(density, rows.numeric, context, weights, box)
    tiny = 0.05 * box.spread
    for j in range(5):
        ahead, behind = rows.numeric.copy(), rows.numeric.copy()
        ahead[:, j] += tiny[j]
        behind[:, j] -= tiny[j]
        up, down = (density.score(rows.with_numeric(numeric)).surprise for numeric in (ahead, behind))
        rises, known = up - down, ~np.isnan(rows.numeric[:, j])
        clear = known & (np.abs(rises) > np.quantile(np.abs(rises[known]), 0.5))
        assert np.mean(np.sign(rises[clear]) == np.sign(slope[clear, j])) > 0.9, COLUMNS[j]
    assert (slope[np.isnan(rows.numeric)] == 0).all()


def test_the_gradient_finds_at_least_what_chance_and_another_model_find(model: Density, strange: Table) -> None:
    other, box = fit("mixture", seed=20), Box.of(model, draw(500, 3), 0.5)
    found = share(model, descend(model, strange, box, ALPHA))
    by_chance = share(model, at_random(model, strange, box, ALPHA))
    transferred = share(model, descend(other, strange, box, 1.0, starts=1))
    assert share(model, strange) == 0.0
    assert found >= by_chance > 0.0
    assert found >= transferred > 0.0
    assert found > by_chance + 0.02, "in six columns chance misses corners"


def test_more_budget_lets_more_slip_through(model: Density, strange: Table) -> None:
    shares = [
        share(model, descend(model, strange, Box.of(model, draw(500, 3), budget), ALPHA)) for budget in (0.1, 0.5, 1.5)
    ]
    assert 0.0 <= shares[0] < shares[1] < shares[2] <= 1.0


def test_the_same_seed_finds_the_same_rows(model: Density, strange: Table) -> None:
    box = Box.of(model, draw(500, 3), 0.5)
    few = strange.take(np.arange(40))
    first, again = (descend(model, few, box, ALPHA, seed=3).numeric for _ in range(2))
    assert np.array_equal(first, again, equal_nan=True)


def test_rows_that_cannot_be_scored_do_not_slip_through(model: Density) -> None:
    rows = draw(3, 5, missing=0.0)
    numeric = rows.numeric.copy()
    numeric[0] = np.nan
    numeric[1, 0] = np.inf
    moved = rows.with_numeric(numeric)
    assert slips(model, moved, 0.0).tolist() == [False, False, True]
    found = descend(model, moved, Box.of(model, draw(500, 3), 0.5), 0.9999, steps=2, starts=1)
    assert not slips(model, found, 0.0)[:2].any()


@pytest.mark.parametrize(
    ("budget", "columns", "why"),
    [
        (0.0, None, "positive number"),
        (np.inf, None, "positive number"),
        (1.0, ["x", "kind"], "no numeric column 'kind'"),
    ],
    ids=["none", "endless", "a text"],
)
def test_what_cannot_be_attacked_says_so(budget: float, columns: Any, why: str, model: Density) -> None:
    with pytest.raises(ValueError, match=why):
        Box.of(model, draw(100, 3), budget, columns)


def test_points_at_random_lie_in_the_box(model: Density) -> None:
    box, x = Box.of(model, draw(500, 3), 0.5, ["x"]), draw(50, 6).numeric
    for corners in (False, True):
        at: Floats = box.anywhere(x, np.random.default_rng(0), corners)
        off = np.nan_to_num(np.abs(at - x))
        assert off[:, 0].max() <= box.reach[0] * (1 + 1e-9)
        assert (off[:, 1:] == 0).all()
        assert corners == bool((off[:, 0] >= box.reach[0] * (1 - 1e-9)).all())
