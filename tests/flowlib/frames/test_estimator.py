"""``FlowDensity`` as scikit-learn, pandas and polars people use it, and what it says to bad input."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from flowlib.encoder.columns import MAPS as KINDS
from flowlib.frames.estimator import MAPS, FlowDensity

NEW_YEAR = datetime(2026, 1, 1)
QUICK = FlowDensity(max_steps=40)


def rows(n: int, seed: int = 0, d: int = 3) -> Any:
    """Correlated normals ``(n, d)``."""
    g = np.random.default_rng(seed)
    return g.standard_normal((n, d)) @ np.tril(np.ones((d, d)))


def columns(n: int, seed: int = 0) -> dict[str, Any]:
    """Columns of every type that is taken."""
    g = np.random.default_rng(seed)
    shop = g.choice(np.array(["north", "south"]), n)
    return {
        "amount": np.exp(g.standard_normal(n)),
        "items": g.integers(1, 9, n),
        "shop": shop,
        "paid": g.random(n) < 0.9,
        "at": [NEW_YEAR + timedelta(minutes=int(m)) for m in np.sort(g.integers(0, 100_000, n))],
    }


@pytest.fixture(scope="module")
def fitted() -> FlowDensity:
    return FlowDensity(max_steps=300, alpha=0.05).fit(rows(3_000))


@pytest.fixture(scope="module", params=["pandas", "polars"])
def framed(request: pytest.FixtureRequest) -> tuple[Any, FlowDensity]:
    """``(make a frame of columns, estimator fitted on one)``."""
    make = pd.DataFrame if request.param == "pandas" else pl.DataFrame
    return make, FlowDensity(max_steps=60, context=("hour",)).fit(make(columns(600)))


# As an estimator ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks_pass() -> None:
    results = check_estimator(FlowDensity(max_steps=20), on_fail=None, on_skip=None)
    bad = [(r["check_name"], repr(r["exception"])) for r in results if r["status"] not in ("passed", "skipped")]
    assert bad == []
    assert sum(r["status"] == "passed" for r in results) > 35


def test_log_likelihoods_are_those_of_the_law(fitted: FlowDensity) -> None:
    """Entropy of the law: the factor has determinant 1."""
    entropy = 1.5 * np.log(2 * np.pi * np.e)
    assert -fitted.score(rows(4_000, 1)) == pytest.approx(entropy, abs=0.1)


def test_scores_are_densities_in_raw_units() -> None:
    x, scale = rows(800), np.array([1_000.0, 0.01, 1.0])
    plain, scaled = (clone(QUICK).fit(x * s) for s in (1.0, scale))
    gap = plain.score_samples(x[:100]) - scaled.score_samples(x[:100] * scale)
    np.testing.assert_allclose(gap, np.log(scale).sum(), atol=0.05)


def test_the_share_called_anomalies_is_alpha(fitted: FlowDensity) -> None:
    n, m = 8_000, 600
    x = rows(n, 2)
    share = (fitted.predict(x) == -1).mean()
    assert share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 * (1 / n + 1 / m)))
    assert (fitted.p_values(x) <= 0.05).mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 * (1 / n + 1 / m)))
    np.testing.assert_array_equal(fitted.predict(x) == -1, fitted.p_values(x) <= 0.05)
    by_decision, by_p = fitted.decision_function(x).argsort(), fitted.p_values(x)
    assert (np.diff(by_p[by_decision]) >= 0).all(), "one order, and none of the p-values' ties"


@pytest.mark.parametrize("maps", [MAPS, *((kind,) for kind in KINDS)])
def test_what_lies_farther_out_is_stranger_whatever_the_map(maps: tuple[str, ...]) -> None:
    """Ties and heavy tails: no map may be flat beyond the rows fitted."""
    g = np.random.default_rng(0)
    x = np.column_stack([np.round(np.exp(1.5 * g.standard_normal(800)), 1) + 0.1, g.standard_t(2, 800)])
    out = x.max(axis=0) * np.geomspace(1.5, 1e5, 12)[:, None]
    model = FlowDensity(max_steps=60, maps=maps).fit(x)
    assert (np.diff(model.score_samples(out)) < 0).all()
    assert (np.diff(model.decision_function(out)) < 0).all()


def test_clones_repeat_and_seeds_matter() -> None:
    x = rows(300)
    one, two = (clone(QUICK).fit(x).score_samples(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, clone(QUICK).set_params(random_state=7).fit(x).score_samples(x))


def test_a_pickle_holds_an_artifact_and_scores_the_same_bits(fitted: FlowDensity) -> None:
    state = fitted.__getstate__()
    assert type(state["density_"]).__name__ == "Artifact"
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.score_samples(rows(200, 3)), fitted.score_samples(rows(200, 3)))
    assert again.offset_ == fitted.offset_


def test_a_copy_of_any_size_is_one() -> None:
    """76 MB: more than a model may have that is loaded from somebody else."""
    x = rows(40, d=1_300)
    made = FlowDensity(flow="spline_autoregressive", max_steps=1).fit(x)
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(copied.score_samples(x), made.score_samples(x))


def test_it_stands_in_a_pipeline() -> None:
    made = make_pipeline(StandardScaler(), clone(QUICK)).fit(rows(200))
    assert set(made.predict(rows(50, 1))) <= {-1, 1}


def test_samples_look_like_the_rows(fitted: FlowDensity) -> None:
    drawn = fitted.sample(3_000, random_state=1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(rows(3_000).T), atol=0.35)
    np.testing.assert_array_equal(drawn, fitted.sample(3_000, random_state=1))


def test_an_explanation_names_the_value_and_what_was_expected(fitted: FlowDensity) -> None:
    told = fitted.explain([[0.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    assert next(iter(told[0].blame)) == "x2"
    assert told[0].sentences[0].startswith("x2 was 9, expected -")
    assert sum(told[0].parts.values()) == pytest.approx(told[0].log_prob)
    assert [change.name for change in told[0].nearest.changes] == ["x2"]
    assert told[1].nearest.changes == ()
    assert told[1].p_value > told[0].p_value


# DataFrames -----------------------------------------------------------------------------------------------------------


def test_every_type_of_column_finds_its_place(framed: tuple[Any, FlowDensity]) -> None:
    make, made = framed
    assert made.density_.spec.numeric == ("amount", "items")
    assert made.density_.spec.categorical == ("shop", "paid")
    assert made.feature_names_in_.tolist() == ["amount", "items", "shop", "paid", "at"]
    assert np.isfinite(made.score_samples(make(columns(50, 1)))).all()


def test_pandas_and_polars_score_alike() -> None:
    made = [FlowDensity(max_steps=20).fit(kind(columns(300))) for kind in (pd.DataFrame, pl.DataFrame)]
    one, two = (
        m.score_samples(kind(columns(40, 2))) for m, kind in zip(made, (pl.DataFrame, pd.DataFrame), strict=True)
    )
    np.testing.assert_array_equal(one, two)


def test_samples_come_in_the_frame_that_was_fitted(framed: tuple[Any, FlowDensity]) -> None:
    make, made = framed
    drawn = made.sample(30, random_state=2)
    assert type(drawn) is make
    assert list(drawn.columns) == ["amount", "items", "shop", "paid", "at"]
    assert set(drawn["shop"]) <= {"north", "south"}
    given = make(columns(600))
    assert list(drawn.dtypes) == list(given.dtypes)
    assert set(drawn["paid"]) == {True, False}
    assert set(drawn["at"]) <= set(given["at"])
    assert len(set(drawn["at"])) > 20
    assert np.isfinite(made.score_samples(drawn)).all()


def test_slices_of_numbers_are_drawn_and_read_back(framed: tuple[Any, FlowDensity]) -> None:
    """With a gap pandas holds them as floats."""
    make, _ = framed
    given = columns(600) | {"shop": np.repeat([10, 20], 300)}
    made = FlowDensity(max_steps=20, slice_column="shop", context=("slice",)).fit(make(given))
    assert set(made.density_.encoder.slices) == {"10", "20"}
    drawn = made.sample(50, random_state=1)
    assert list(drawn.dtypes) == list(make(given).dtypes)
    assert set(drawn["shop"]) == {10, 20}
    rows = make(columns(3, 1) | {"shop": [10.0, 20.0, None]})
    whole = make(columns(3, 1) | {"shop": [10, 20, 20]})
    np.testing.assert_array_equal(made.score_samples(rows)[:2], made.score_samples(whole)[:2])


def test_gaps_and_unseen_categories_are_scored(framed: tuple[Any, FlowDensity]) -> None:
    make, made = framed
    plain, odd = columns(3, 3), columns(3, 3)
    odd["shop"] = ["north", None, "never seen"]
    odd["amount"] = [None, 1.0, 1.0]
    assert np.isfinite(made.score_samples(make(odd))).all()
    before, after = (made.score_samples(make(c)) for c in (plain, odd | {"amount": plain["amount"]}))
    assert after[2] < before[2]


def test_slices_are_calibrated_apart() -> None:
    given = columns(2_000)
    given["amount"] = given["amount"] * np.where(given["shop"] == "north", 1.0, 50.0)
    made = FlowDensity(max_steps=60, slice_column="shop", context=("slice",), calibration_share=0.5).fit(
        pl.DataFrame(given)
    )
    assert made.density_.spec.categorical == ("paid",)
    assert {"north", "south"} <= set(made.density_.calibration.tails.names)


def test_a_categorical_and_a_nullable_pandas_column() -> None:
    given = pd.DataFrame(
        {
            "x": pd.array([1, None, 3, 4] * 30, dtype="Int64"),
            "y": range(120),
            "c": pd.Categorical(["a", "b", None, "a"] * 30),
        }
    )
    made = clone(QUICK).fit(given)
    assert made.density_.spec.categorical == ("c",)
    assert made.density_.encoder.missing_share[0] == pytest.approx(0.25, abs=0.05)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((0, 3)), "0 sample"),
        (pl.DataFrame({"x": []}, schema={"x": pl.Float64}), "0 sample"),
        ([[1.0, 2.0]], "n_samples = 1: a density needs at least 3 rows"),
        (np.full((50, 2), np.nan), "hardly any row has a number"),
        (np.full((50, 2), 1e300), "within float32"),
        ([["a", "b"]] * 9, "not compatible with arrays of bytes/strings"),
        (np.zeros(9), "Expected 2D array"),
        (pl.DataFrame({"only": ["text"] * 9}), "no numeric column among only"),
        (pl.DataFrame({"x": [1.0] * 9, "l": [[1]] * 9}), "column 'l' is of type List"),
        (pd.DataFrame([[1.0, 2.0]] * 9, columns=["x", "x"]), "two columns are called x"),
        (pd.DataFrame({"x": [1.0] * 9, "o": [{}] * 9}), "column 'o' is of type Object"),
        (pl.DataFrame({"x": [1.0] * 9, **{t: [NEW_YEAR] * 9 for t in "st"}}), r"more than one time column \(s, t\)"),
        (pl.DataFrame({"x": [1.0, 2.0, 3.0], "t": [NEW_YEAR] * 2 + [None]}), "'t' misses times"),
        (np.ones((9, 2), dtype=complex), "Complex data not supported"),
        (np.array([[1.0, np.inf]] * 9), "infinity"),
        (np.zeros((40, 4097)), "4,097 columns of numbers, and a density takes 4,096 at most: leave some out"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_fitted_is_refused_with_a_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        clone(QUICK).fit(given)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"flow": "nope"}, "flow = 'nope': there are .*maf"),
        ({"alpha": 0.0}, "alpha = 0.0: must lie between 0 and 1"),
        ({"calibration_share": 1.0}, "calibration_share = 1.0"),
        ({"max_steps": 0}, "max_steps = 0"),
        ({"slice_column": "shop"}, "X is an array: pass a DataFrame"),
        ({"context": ("moon",)}, "hour, weekday, season, slice"),
        (
            {"context": ("weekday",)},
            "context has 'weekday' and the rows have no time: pass a DataFrame with one column",
        ),
        ({"context": ("slice",)}, "context has 'slice' and slice_column is None: name the column"),
        ({"context": "hour"}, r"context = 'hour': must be a tuple of names, \('hour',\)"),
        ({"maps": "quantile"}, r"maps = 'quantile': must be a tuple of names, \('quantile',\)"),
    ],
)
def test_parameters_are_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        clone(QUICK).set_params(**settings).fit(rows(50))


def test_a_frame_without_a_time_has_no_hour() -> None:
    with pytest.raises(ValueError, match="context has 'hour' and the rows have no time"):
        FlowDensity(context=("hour",)).fit(pl.DataFrame({"x": [1.0] * 9}))


def test_another_width_or_kind_than_in_training_is_refused(
    fitted: FlowDensity, framed: tuple[Any, FlowDensity]
) -> None:
    make, made = framed
    with pytest.raises(ValueError, match="4 features, but FlowDensity is expecting 3"):
        fitted.score_samples(rows(5, d=4))
    with pytest.raises(ValueError, match="fitted on a DataFrame with the columns amount, items"):
        made.score_samples(rows(5, d=5))
    with pytest.raises(ValueError, match="names should match those that were passed during fit"):
        made.score_samples(make({**columns(5), "more": [1.0] * 5}))
    with pytest.raises(ValueError, match="column 'amount' was numeric in training"):
        made.score_samples(make(columns(5) | {"amount": ["a"] * 5}))
    with pytest.raises(ValueError, match="at least 1 row can be drawn"):
        fitted.sample(0)


def test_rows_that_cannot_be_scored_are_the_least_likely(fitted: FlowDensity) -> None:
    given = np.array([[np.nan] * 3, [1e300, 0, 0], [1e30, 0, 0], [0, 0, 0], [np.nan, 0, 0]])
    log_prob = fitted.score_samples(given)
    assert np.isneginf(log_prob[:2]).all()
    assert np.isfinite(log_prob[2:]).all()
    assert fitted.predict(given).tolist()[:4] == [-1, -1, -1, 1]
    assert (fitted.p_values(given)[:3] <= 2 * fitted.density_.calibration.floor("")).all()


def test_constant_and_duplicated_columns_are_kept_and_told() -> None:
    x = rows(300, d=2)
    made = clone(QUICK).fit(np.column_stack([x, np.full(300, 7.0), x[:, 0]]))
    told = " ".join(made.findings_)
    assert "x2" in told
    assert "x3" in told
    assert np.isfinite(made.score_samples(np.column_stack([x, np.full(300, 7.0), x[:, 0]]))).all()
    assert made.predict(np.array([[0.0, 0.0, 9.0, 0.0]])) == [-1]
