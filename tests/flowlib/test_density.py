"""A fitted model: a true density, results that do not depend on the batch, valid p-values, right blame."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.calibration import Calibration
from flowlib.density import Density, Scores
from flowlib.encoder.spec import FeatureSpec
from flowlib.explain.blame import blame
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.margins import Margins
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig
from tests.flowlib.conftest import SPEC, draw, entropy_nats, fit, trained


def test_log_prob_is_near_the_true_entropy(density: Density) -> None:
    rows = draw(4_000, 9)
    scores = density.score(rows)
    assert scores.scorable.all()
    assert -scores.log_prob.mean() == pytest.approx(entropy_nats(), abs=0.12)


def test_the_parts_add_up_to_the_log_likelihood(density: Density) -> None:
    scores = density.score(draw(500, 10))
    assert scores.parts.shape == (500, 4)
    np.testing.assert_allclose(scores.parts.sum(axis=1), scores.log_prob, rtol=0, atol=1e-9)


def test_a_change_of_unit_moves_log_prob_by_its_logarithm() -> None:
    train, valid, held = draw(1_500, 1), draw(400, 2), draw(400, 3)
    scale = np.array([1000.0, 0.01, 1.0], dtype=np.float32)
    made = [
        Density.fit(
            SPEC, *(replace(part, numeric=part.numeric * s) for part in (train, valid, held)), 0, trained(max_steps=60)
        )
        for s in (np.ones(3, np.float32), scale)
    ]
    rows = draw(300, 5)
    plain = made[0].score(rows)
    scaled = made[1].score(replace(rows, numeric=rows.numeric * scale))
    moved = np.log(scale[0]) + np.log(scale[1])
    np.testing.assert_allclose(scaled.log_prob, plain.log_prob - moved, atol=0.02)


@given(st.integers(0, 10**6), st.integers(1, 900))
@settings(max_examples=15, deadline=None)
def test_a_row_scores_the_same_bits_wherever_it_stands(seed: int, n: int) -> None:
    density = _shared()
    rows, g = draw(n, seed), np.random.default_rng(seed)
    whole = density.score(rows)
    pick = g.permutation(n)[: g.integers(1, n + 1)]
    part = density.score(rows.take(pick))
    for name in ("log_prob", "parts", "p_value", "pit", "distance", "surprise"):
        np.testing.assert_array_equal(getattr(whole, name)[pick], getattr(part, name))


def wide(n: int, seed: int) -> Table:
    """One number, and four categories of 256 levels."""
    g = np.random.default_rng(seed)
    return Table.of(g.standard_normal((n, 1)), g.integers(0, 256, (n, 4)).astype(str).astype(object))


def test_memory_grows_with_the_table_and_not_with_the_levels_of_its_categories() -> None:
    """A context of all rows at once would be 124 MB, the results are 4 MB."""
    spec, config = FeatureSpec(("x",), ("a", "b", "c", "d")), trained(max_steps=3)
    density = Density.fit(spec, wide(4_000, 1), wide(300, 2), wide(500, 3), 0, config)
    rows = wide(30_000, 4)
    tracemalloc.start()
    scores = density.score(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
    pick = np.sort(np.random.default_rng(5).permutation(len(rows))[:300])
    part = density.score(rows.take(pick))
    for field in fields(Scores):
        np.testing.assert_array_equal(getattr(scores, field.name)[pick], getattr(part, field.name))


@pytest.mark.parametrize("chunk", [1, 512, 1_300])
def test_spans_of_any_size_give_the_same_bits(chunk: int) -> None:
    density, rows = _shared(), draw(1_500, 15)
    other = replace(density, encoder=replace(density.encoder))
    object.__setattr__(other.encoder, "chunk", chunk)
    whole, spans = density.score(rows), other.score(rows)
    for field in fields(Scores):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(spans, field.name))


_MADE: list[Density] = []


def _shared() -> Density:
    if not _MADE:
        _MADE.append(fit(max_steps=50))
    return _MADE[0]


def test_p_values_of_new_rows_are_uniform(density: Density) -> None:
    rows = draw(20_000, 11)
    p = density.score(rows).p_value
    for alpha in (0.01, 0.05, 0.1, 0.5):
        # 2,000 reference rows: the realised level itself has standard deviation sqrt(α(1−α)/n).
        error = 4 * np.sqrt(alpha * (1 - alpha) * (1 / 1_700 + 1 / 20_000))
        assert abs((p <= alpha).mean() - alpha) < error + 1e-3, alpha


def test_split_conformal_is_valid_on_average() -> None:
    """P(p ≤ α) ≤ α over draws of the reference and one new row."""
    g, hits, n, alpha = np.random.default_rng(5), 0, 4_000, 0.1
    for _ in range(n):
        log_prob, z = g.standard_normal(19 + 1), g.standard_normal((19 + 1, 2)).astype(np.float32)
        margins = Margins.fit(z)
        distance = margins.of(z)
        reference = Calibration.fit(
            (margins,), log_prob[1:], distance[1:], z[1:], np.zeros((19, 2), bool), np.array(["s"] * 19)
        )
        surprise = reference.surprise(log_prob[:1], distance[:1])
        hits += int(reference.p_values(surprise, np.array(["s"]))[0][0] <= alpha)
    assert hits / n <= alpha + 4 * np.sqrt(alpha * (1 - alpha) / n)
    assert hits > 0


def test_rows_beyond_the_reference_still_rank(density: Density) -> None:
    """Their p-values are all the floor; the surprise tells them apart, whichever of its halves they are far out in."""
    rows = draw(1, 14)
    numeric = np.array([[0, 0, k] for k in (20, 40, 80)], np.float32)
    far = density.score(Table.of(numeric, np.repeat(rows.categories, 3, axis=0), np.repeat(rows.slices, 3)))
    assert (np.diff(far.surprise) > 0).all()
    assert len(set(far.p_value.tolist())) == 1
    reference = density.calibration
    at = np.array([0.0, 1e3])
    assert np.diff(reference.surprise(-at, np.zeros(2)))[0] > 0
    assert np.diff(reference.surprise(np.zeros(2), at))[0] > 0


def test_slices_never_seen_are_pooled_and_say_so(density: Density) -> None:
    rows = draw(500, 12)
    scores = density.score(rows)
    assert scores.p_value.min() >= density.calibration.floor("big")
    assert density.calibration.resolution("big").rows >= 200
    unknown = density.score(replace(rows, slices=np.array(["new"] * 500, dtype=object)))
    assert unknown.pooled.all()


def test_the_feature_that_was_pushed_is_blamed(density: Density) -> None:
    rows = draw(200, 13)
    pushed = np.where(np.isnan(rows.numeric[:, 2]), 0.0, rows.numeric[:, 2]) + 8.0
    numeric = np.column_stack([rows.numeric[:, :2], pushed])
    pushed_rows = replace(rows, numeric=numeric)
    scores = density.score(pushed_rows)
    assert (blame(density, pushed_rows).argmax(axis=1) == 2).mean() > 0.95
    assert (scores.p_value <= 0.01).mean() > 0.95


def test_missing_and_impossible_values(density: Density) -> None:
    numeric = np.array([[np.nan] * 3, [np.inf, 0, 0], [0, 0, np.nan], [1e38, 0, 0], [0, 0, 0]], dtype=np.float32)
    kinds = np.array([["x"], ["x"], ["never seen"], ["x"], [None]], dtype=object)
    rows = Table.of(numeric, kinds, ["big"] * 5)
    scores = density.score(rows)
    assert scores.scorable.tolist() == [False, False, True, True, True]
    assert np.isfinite(scores.log_prob).all()
    assert scores.p_value[3] == density.calibration.floor("big")
    assert blame(density, rows)[3].argmax() == scores.parts[3, :3].argmin() == 0
    assert scores.p_value[~scores.scorable].tolist() == [1.0, 1.0]


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two, other = (fit(seed, max_steps=40) for seed in (3, 3, 4))
    weights = [torch.cat([p.flatten() for p in d.flow.parameters()]) for d in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_warm_start_goes_on_where_the_old_model_was(density: Density) -> None:
    train, valid, held = draw(2_000, 21), draw(500, 22), draw(500, 23)
    said: list[Progress] = []
    learn = MaximumLikelihood(TrainConfig.warm(max_steps=50), said.append)
    warm = Density.fit(SPEC, train, valid, held, 1, FitConfig(learn=learn), density)
    rows = draw(2_000, 24)
    old, new = (d.score(rows).log_prob.mean() for d in (density, warm))
    assert new > old - 0.05
    assert said[-1].step == 50
    assert warm.encoder is density.encoder
