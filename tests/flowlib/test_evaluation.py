"""Figures of the evaluation on laws where the right answer is known, and on models that are wrong in a known way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from flowlib.density import Density
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.evaluation import (
    ALPHAS,
    Evaluation,
    apart,
    curve,
    distance,
    evaluate,
    gaussian_log_prob,
    hanley_mcneil,
    mean,
    share,
    two_sample,
)
from flowlib.table import Table
from tests.flowlib.conftest import draw, entropy_nats

DAYS = np.arange(3_000) // 30


@pytest.fixture(scope="module")
def found(density: Density) -> Evaluation:
    rows = draw(3_000, 61)
    return evaluate(
        density, rows, DAYS, baselines={"gaussian": gaussian_log_prob(density.encoder, draw(4_000, 1), rows)}
    )


def test_a_good_model_is_found_good(found: Evaluation) -> None:
    assert found.log_prob.low - 0.15 < -entropy_nats() < found.log_prob.high + 0.15
    assert found.bits_per_dim.value == pytest.approx(-found.log_prob.value / (3 * np.log(2)))
    assert found.bits_per_dim.low < found.bits_per_dim.value < found.bits_per_dim.high
    assert found.over["gaussian"].low > 0, "the category moves c: one Gaussian cannot know"
    assert found.alarms.low <= 0.02
    assert found.distance.max() < 0.08
    assert found.two_sample.value < 0.6
    assert [s.name for s in found.slices] == ["big", "small"]
    assert found.missing[2] == pytest.approx([0.1, 0.1], abs=0.02)
    np.testing.assert_allclose(found.curve[ALPHAS > 0.05], ALPHAS[ALPHAS > 0.05], atol=0.05)


def test_rows_of_another_law_are_found_out(density: Density, found: Evaluation) -> None:
    rows = draw(3_000, 62)
    moved = rows.with_numeric(rows.numeric + np.array([0.0, 1.5, 0.0], dtype=np.float32))
    worse = evaluate(density, moved, DAYS)
    assert worse.alarms.low > found.alarms.high
    assert worse.distance.argmax() in (0, 1), "a and b are tied: either may tell of the other"
    assert worse.two_sample.low > 0.8
    assert worse.giveaway.argmax() in (0, 1)
    assert worse.slices[0].worst_column in ("a", "b")


def test_samples_of_the_model_itself_cannot_be_told(density: Density) -> None:
    rows = density.sample_given(draw(3_000, 63), 5)
    auc, giveaway = two_sample(density, rows, DAYS)
    assert auc.low - 0.02 <= 0.5 <= auc.high + 0.02
    assert giveaway.max() < 0.05


def test_columns_that_lean_are_named_and_which_way(density: Density) -> None:
    rows = draw(3_000, 66)
    centre = np.nanmedian(rows.numeric, axis=0)
    lower = rows.with_numeric(rows.numeric - np.array([0.0, 0.0, 2.0]))
    wider = rows.with_numeric(centre + (rows.numeric - centre) * np.array([1.0, 1.0, 2.0]))
    for moved, way in ((lower, "lower"), (wider, "further out")):
        found = evaluate(density, moved, DAYS).leans
        assert [(lean.column, lean.way, lean.is_sure) for lean in found] == [("c", way, True)]
        assert found[0].times > 1.5
    day = DAYS < 1
    assert not evaluate(density, lower.take(day), DAYS[day]).leans[0].is_sure, "one day tells nothing of others"


def test_days_that_differ_bound_what_samples_can_do(density: Density) -> None:
    rows, alike = draw(2_000, 67), draw(2_000, 68)
    other = alike.with_numeric(alike.numeric + np.array([0.0, 2.0, 0.0]))
    days = DAYS[:2_000]
    assert apart(rows, days, alike, days + 1_000).value < 0.56
    assert apart(rows, days, other, days + 1_000).value > 0.8
    assert evaluate(density, rows, days, others=(other, days + 1_000)).days_apart is not None


def test_one_group_gives_no_test(density: Density) -> None:
    auc, _ = two_sample(density, draw(50, 64), np.zeros(50, dtype=np.int64))
    assert (auc.low, auc.high) == (0.0, 1.0)


def test_rows_that_cannot_be_scored_are_counted_and_left_out(density: Density) -> None:
    rows = draw(300, 65)
    numeric = rows.numeric.copy()
    numeric[:10, 0] = np.inf
    got = evaluate(density, rows.with_numeric(numeric), DAYS[:300])
    assert (got.rows, got.scorable) == (300, 290)
    with pytest.raises(ValueError, match="none of the rows can be scored"):
        evaluate(density, rows.take(np.arange(5)).with_numeric(np.full((5, 3), np.nan)), DAYS[:5])


def test_intervals_cover_means_of_dependent_rows() -> None:
    g, hits, runs = np.random.default_rng(66), 0, 400
    groups = np.repeat(np.arange(40), 25)
    for _ in range(runs):
        values = np.repeat(g.standard_normal(40), 25) + g.standard_normal(1_000)
        got = mean(values, groups)
        hits += got.low <= 0 <= got.high
    assert hits / runs > 0.95 - 4 * np.sqrt(0.05 * 0.95 / runs) - 0.01
    naive = 1.96 * values.std() / np.sqrt(1_000)
    assert got.high - got.value > 2 * naive, "groups are the units"


def test_shares_keep_inside_and_match_wilson_when_rows_are_independent() -> None:
    hits = np.zeros(400, dtype=bool)
    none = share(hits, np.arange(400))
    assert (none.low, none.value) == (pytest.approx(0.0, abs=1e-9), 0.0)
    assert none.high == pytest.approx(1.96**2 / (400 + 1.96**2), rel=1e-3)
    hits[:200] = True
    half = share(hits, np.arange(400))
    assert half.high - half.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / (400 + 1.96**2)), rel=0.01)
    assert share(hits, np.arange(400) // 100).high > half.high


def test_the_curve_counts_and_the_distance_is_zero_for_chance() -> None:
    p = np.linspace(1 / 1_000, 1, 1_000)
    np.testing.assert_allclose(curve(p), ALPHAS, atol=1.1e-3)
    g = np.random.default_rng(67)
    flat, step = g.multinomial(2_000, np.full(20, 0.05), size=200), np.zeros((1, 20), dtype=np.int64)
    step[0, :10] = 200
    assert distance(flat).mean() < 0.01
    assert distance(step)[0] == pytest.approx(0.5, abs=0.05)
    assert distance(np.zeros((1, 20), dtype=np.int64))[0] == 0


def test_hanley_and_mcneil() -> None:
    """At 0.5 the variance is (2n + 1) / (12 n²), that of the Mann-Whitney statistic."""
    n = 200
    got = hanley_mcneil(0.5, n)
    assert got.high - got.value == pytest.approx(1.96 * np.sqrt((2 * n + 1) / (12 * n * n)), rel=1e-3)


def test_the_gaussian_is_the_gaussian() -> None:
    """With standard scaling only, one Gaussian in feature space is one in raw space."""
    g = np.random.default_rng(68)
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    x = g.multivariate_normal([10.0, -2.0], covariance, size=20_000)
    encoder = Encoder.fit(FeatureSpec(("u", "v")), Table.of(x), EncoderConfig(maps=("standard",)))
    rows = Table.of(x[:500])
    exact = multivariate_normal(np.mean(x, axis=0), np.cov(x.T)).logpdf(x[:500])
    np.testing.assert_allclose(gaussian_log_prob(encoder, Table.of(x), rows), exact, atol=5e-3)
    gaps = replace(rows, numeric=np.where([True, False], np.float32(np.nan), rows.numeric))
    alone = multivariate_normal(np.mean(x[:, 1]), np.var(x[:, 1])).logpdf(x[:500, 1])
    offset = gaussian_log_prob(encoder, Table.of(x), gaps) - alone
    np.testing.assert_allclose(offset, offset[0], atol=5e-3)
    assert offset[0] == pytest.approx(np.log(encoder.missing_share[0]), abs=0.01)


def test_a_gaussian_is_refused_where_hardly_a_row_is_whole(density: Density) -> None:
    """It would be NaN, and a model measured against it would lose nan nats."""
    rows = draw(200, 69)
    gaps = rows.numeric.copy()
    gaps[:, 2] = np.nan
    with pytest.raises(
        ValueError, match="every training row has a gap, and it is fitted on rows without gaps, 4 at least"
    ):
        gaussian_log_prob(density.encoder, rows.with_numeric(gaps), rows)
    gaps[:3, 2] = 1.0
    with pytest.raises(ValueError, match="only 3 of the training rows have no gap"):
        gaussian_log_prob(density.encoder, rows.with_numeric(gaps), rows)
