"""Explanations on a law whose conditionals are known: bands that hold, changes that make ordinary, sentences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from flowlib.density import Density
from flowlib.explain.explanation import Expectation, expected, nearest_typical
from flowlib.frames.estimator import FlowDensity
from flowlib.table import Table
from tests.flowlib.explain.rows import changed, complete

SD_B_GIVEN_A = 0.6


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
