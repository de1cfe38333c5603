"""Explanations on a law whose conditionals are known: right blame, bands that hold, changes that make ordinary."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.explain import blame as blaming
from flowlib.explain.blame import blame, excess
from flowlib.explain.conditional import conditional
from flowlib.explain.explanation import Expectation, expected, nearest_typical
from flowlib.frames.estimator import FlowDensity
from flowlib.table import Table
from tests.flowlib.conftest import draw, trained

SD_B_GIVEN_A = 0.6


def complete(n: int, seed: int) -> Table:
    """Rows without gaps: b given the rest is N(0.8 a, 0.6²), whatever c and the category are."""
    rows = draw(2 * n, seed)
    return rows.take(np.flatnonzero(~np.isnan(rows.numeric).any(axis=1))[:n])


def changed(rows: Table, column: int, values: object) -> Table:
    numeric = rows.numeric.copy()
    numeric[:, column] = values
    return rows.with_numeric(numeric)


# Blame -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_shifted_value_is_to_blame(density: Density, column: int) -> None:
    rows = complete(200, 41)
    pushed = changed(rows, column, rows.numeric[:, column] + 6.0)
    strange = density.score(pushed).p_value <= 0.01
    assert strange.mean() > 0.9
    assert (blame(density, pushed)[strange].argmax(axis=1) == column).mean() > 0.9


def test_a_broken_relation_between_ordinary_values_is_blamed_on_the_two(density: Density) -> None:
    rows = complete(50, 42)
    broken = changed(changed(rows, 0, 1.9), 1, -1.9)
    assert set(blame(density, broken).argmax(axis=1).tolist()) <= {0, 1}


def test_two_faults_are_both_found(density: Density) -> None:
    rows = complete(200, 43)
    broken = changed(changed(rows, 0, rows.numeric[:, 0] + 5.0), 2, rows.numeric[:, 2] - 6.0)
    two = np.argsort(-blame(density, broken), axis=1)[:, :2]
    assert (np.sort(two, axis=1) == [0, 2]).all(axis=1).mean() > 0.8


def test_a_category_that_does_not_fit_is_blamed(density: Density) -> None:
    rows = complete(200, 44)
    wrong = replace(changed(rows, 2, 3.0), categories=np.full((200, 1), "x", dtype=object))
    assert (blame(density, wrong)[:, 2:].sum(axis=1) > 3.0).all()


def test_blame_does_not_depend_on_the_rows_beside(density: Density) -> None:
    rows = draw(400, 45)
    whole = blame(density, rows)
    pick = np.random.default_rng(45).permutation(400)[:130]
    np.testing.assert_array_equal(blame(density, rows.take(pick)), whole[pick])


def test_memory_does_not_grow_with_the_square_of_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 rows of 80 columns with all their variants at once would take 200 MB; the numbers are the same."""
    g, names = np.random.default_rng(54), tuple(f"x{j}" for j in range(80))
    train, valid, held, rows = (Table.of(g.standard_normal((n, 80))) for n in (500, 100, 200, 256))
    wide = Density.fit(FeatureSpec(names), train, valid, held, 0, trained(max_steps=2))
    tracemalloc.start()
    given = blame(wide, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
    monkeypatch.setattr(blaming, "_VALUES", 1)
    np.testing.assert_array_equal(blame(wide, rows.span(0, 4)), given[:4])


def test_missing_and_unscorable_values_have_no_blame(density: Density) -> None:
    numeric = np.array([[np.nan, 0, 9], [np.inf, 0, 0], [np.nan] * 3], dtype=np.float32)
    given = blame(density, Table.of(numeric, [["x"]] * 3))
    assert given[0, 0] == 0
    assert given[0, 2] > 10
    assert not given[1:].any()
    assert blame(density, Table.of(np.zeros((0, 3)), np.zeros((0, 1)))).shape == (0, 4)


def test_excess_adds_up_to_what_the_row_lacks(density: Density) -> None:
    scores = density.score(draw(300, 46))
    lacks = density.calibration.log_prob_mean - scores.log_prob
    np.testing.assert_allclose(excess(scores, density).sum(axis=1), lacks, atol=1e-9)


# Expectations ----------------------------------------------------------------------------------------------------------


def test_the_conditional_integrates_to_one_and_its_cdf_is_its_integral(density: Density) -> None:
    given = conditional(density, draw(20, 47), 1)
    mass = np.trapezoid(np.exp(given.log_density), given.grid, axis=1)
    np.testing.assert_allclose(mass, 1.0, atol=1e-9)
    assert (np.diff(given.cdf, axis=1) >= 0).all()
    np.testing.assert_allclose(given.cdf[:, -1], 1.0)


def test_the_conditional_is_the_joint_density_along_the_line(density: Density) -> None:
    """Differences of log p(x_j | rest) are differences of log p(x): what :meth:`Density.score` says."""
    row = complete(1, 48)
    given = conditional(density, row, 1)
    picks = np.linspace(20, 110, 7).astype(int)
    features = np.zeros((7, 3))
    features[:, 1] = given.grid[0, picks]
    values = density.encoder.decode(features)[:, 1]
    scores = density.score(changed(row.take(np.zeros(7, dtype=int)), 1, values))
    encoded = density.encoder.encode(changed(row.take(np.zeros(7, dtype=int)), 1, values))
    in_features = scores.log_prob - encoded.ladj[:, 1]
    told = given.log_density[0, picks]
    np.testing.assert_allclose(told - told[0], in_features - in_features[0], atol=5e-3)


def test_the_band_is_that_of_the_known_law(density: Density) -> None:
    rows = complete(300, 49)
    given = expected(density, rows, "b")
    centre = 0.8 * rows.numeric[:, 0]
    inside = np.abs(rows.numeric[:, 0]) < 2
    half = SD_B_GIVEN_A * norm.ppf(0.95)
    for told, true in (
        (given.median, centre),
        (given.mean, centre),
        (given.low, centre - half),
        (given.high, centre + half),
    ):
        assert np.abs(told - true)[inside].mean() < 0.12
    exact = norm.sf(np.abs(rows.numeric[:, 1] - centre) / SD_B_GIVEN_A)
    assert np.abs(given.beyond - exact)[inside].mean() < 0.03


def test_nine_of_ten_values_lie_in_the_band(density: Density) -> None:
    n = 800
    rows = complete(n, 50)
    given = expected(density, rows, "b")
    hits = int(((rows.numeric[:, 1] >= given.low) & (rows.numeric[:, 1] <= given.high)).sum())
    low, high = binom.ppf((0.0005, 0.9995), n, 0.9)
    assert low - 0.015 * n <= hits <= high + 0.015 * n, hits  # the model is an estimate: a hundredth of its own


def test_what_is_missing_or_wild_is_expected_all_the_same(density: Density) -> None:
    rows = Table.of([[1.0, np.nan, 0.0], [1.0, 1e30, 0.0], [1.0, np.inf, 0.0], [1.0, 0.8, np.nan]], [["x"]] * 4)
    given = expected(density, rows, 1)
    np.testing.assert_allclose(given.median[:3], given.median[0])
    assert abs(given.median[0] - 0.8) < 0.2
    assert np.isnan(given.beyond[0])
    assert given.beyond[1] < 1e-6
    assert given.beyond[2] < 1e-6
    assert given.sentences()[0].startswith("b was missing, expected ")
    with pytest.raises(ValueError, match="there are: a, b, c"):
        expected(density, rows, "kind")


def test_the_sentence_reads() -> None:
    made = Expectation("PM10", *(np.array([v]) for v in (812.0, 80.0, 82.0, 40.2, 130.4, 0.0)))
    assert made.sentences() == ["PM10 was 812, expected 40.2 to 130.4 given the rest"]


# Nearest ordinary event ------------------------------------------------------------------------------------------------


def test_the_pushed_value_is_what_changes_and_no_further_than_needed(density: Density) -> None:
    rows = complete(20, 51)
    for i, near in enumerate(nearest_typical(density, changed(rows, 0, 7.0))):
        assert near.reached
        assert near.log_prob >= near.target
        assert near.changes[0].name == "a"
        assert near.changes[0].was == 7.0
        assert near.changes[0].becomes < 7.0
        numeric = changed(rows, 0, 7.0).numeric[i : i + 1].copy()
        for change in near.changes:
            numeric[0, density.spec.numeric.index(change.name)] = change.becomes
        again = density.score(rows.take(np.array([i])).with_numeric(numeric))
        assert again.log_prob[0] == pytest.approx(near.log_prob, abs=1e-9)
        assert "instead of 7" in near.sentence()


def test_an_ordinary_row_needs_no_change_and_a_second_look_says_the_same(density: Density) -> None:
    rows = complete(60, 52)
    first = nearest_typical(density, rows)
    scores = density.score(rows)
    for near, log_prob in zip(first, scores.log_prob, strict=True):
        assert (log_prob >= near.target) == (near.changes == () and near.reached)
    assert nearest_typical(density, rows) == first


def test_an_unscorable_row_cannot_be_made_ordinary(density: Density) -> None:
    near = nearest_typical(density, Table.of([[np.nan] * 3], [["x"]]))[0]
    assert not near.reached
    assert near.sentence() == "no change of its numbers makes it ordinary"


# All of it -------------------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_scored_is_explained_as_it_is_scored() -> None:
    made = FlowDensity(max_steps=40).fit(np.random.default_rng(55).standard_normal((300, 3)))
    given = [[np.nan] * 3, [0.0, 1e39, -1e39], [0.0, 0.0, 0.0]]
    told = made.explain(given)
    np.testing.assert_array_equal([one.log_prob for one in told[:2]], made.score_samples(given)[:2])
    assert [one.p_value for one in told] == made.p_values(given).tolist()
    assert [one.nearest.log_prob for one in told[:2]] == [-np.inf] * 2
    assert told[0].sentences == ("the row cannot be scored: all of its numbers are missing",)
    assert told[1].sentences == ("the row cannot be scored: x1, x2 beyond what a float32 holds (3.4e38)",)
    assert told[0].parts == told[0].blame == {}
    assert np.isfinite(told[2].log_prob)


# Samples ---------------------------------------------------------------------------------------------------------------


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
