"""Discrete data: zero-inflated counts that never change have uniform p-values, through a density, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib import FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from flowlib.density import Density

SLICES = 10
MODELS: list[Density] = []


def counts(n: int, seed: int, first_ms: int = 0) -> Table:
    """Two columns, each zero in seven of ten rows, else a count of mean 3; a row a minute, ten slices."""
    g = np.random.default_rng(seed)
    numeric = np.where(g.random((n, 2)) < 0.7, 0, g.poisson(3.0, (n, 2)))
    slices = np.array([f"s{i % SLICES}" for i in range(n)], dtype=object)
    return Table.of(numeric, slices=slices, time_ms=first_ms + 60_000 * np.arange(n))


@pytest.fixture
def density() -> Density:
    """Fitted once."""
    if not MODELS:
        tables = (counts(4_000, 1), counts(500, 2), counts(20_000, 3))
        config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=60)), distance="base")
        MODELS.append(Density.fit(FeatureSpec(("x", "y")), *tables, seed=0, config=config))
    return MODELS[0]


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.1, 0.05, 0.01])
def test_p_values_of_counts_are_uniform(density: Density, alpha: float) -> None:
    n = 100_000
    p = density.score(counts(n, 4, 10**9)).p_value
    error = np.sqrt(alpha * (1 - alpha) * (1 / 20_000 + 1 / n))
    print(
        f"seeds 1 to 4, alpha {alpha}: rate {(p <= alpha).mean():.5f}, 95 % {1.96 * error:.5f} either side of {alpha}"
    )
    assert abs((p <= alpha).mean() - alpha) < 4 * error + 1 / 20_000


def test_every_slice_has_its_rate(density: Density) -> None:
    table = counts(200_000, 5, 10**9)
    strange = density.score(table).p_value <= 0.01
    ratios = np.array([strange[table.slices == f"s{i}"].mean() / 0.01 for i in range(SLICES)])
    print("seed 5, rates over alpha by slice:", ratios.round(2))
    assert ((ratios >= 0.8) & (ratios <= 1.25)).all()


def test_the_most_ordinary_value_is_never_strange_however_often_it_comes(density: Density) -> None:
    """Half of all rows are zero in both columns: their draws are spread over that half."""
    table = counts(20_000, 6, 10**9)
    zeros = (table.numeric == 0).all(axis=1)
    assert density.score(table.take(zeros)).p_value.min() > 0.1


def test_a_replay_repeats_every_draw(density: Density) -> None:
    table = counts(2_000, 7)
    whole, order = density.score(table).p_value, np.random.default_rng(0).permutation(2_000)
    np.testing.assert_array_equal(density.score(table.take(order)).p_value, whole[order])
