"""Table to features: the Jacobian is the transform's own, gaps and news have their place, units do not matter."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowlib.encoding import FEATURE_LIMIT, HALF_LOG_TWO_PI, LEVELS_MAX, Encoder, FeatureSpec
from flowlib.table import Table
from tests.flowlib.conftest import SPEC, draw

NO_CATEGORIES = FeatureSpec(("x", "tail"))
ANY_TABLE = arrays(np.float32, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(width=32))


def tailed(n: int, seed: int) -> Any:
    """A linear column and a non-negative one with a long tail."""
    g = np.random.default_rng(seed)
    return np.column_stack([5 + 2 * g.standard_normal(n), np.exp(2 * g.standard_normal(n))]).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    table = tailed(500, 1)
    table[::10, 0] = np.nan
    return Encoder.fit(NO_CATEGORIES, Table.of(table))


def test_the_two_kinds_of_column_are_told_apart(encoder: Encoder) -> None:
    assert encoder.unit[0] == 0
    assert encoder.unit[1] > 0


def test_ladj_is_the_transforms_derivative_by_autograd(encoder: Encoder) -> None:
    rows = tailed(50, 2)
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    unit, shift, scale = (torch.from_numpy(part) for part in (encoder.unit, encoder.shift, encoder.scale))
    wide = torch.asinh(x[:, 1] / unit[1])
    features = (torch.stack([x[:, 0], wide], dim=1) - shift) / scale
    (slope,) = torch.autograd.grad(features.sum(), x)
    encoded = encoder.encode(Table.of(rows))
    np.testing.assert_allclose(encoded.features, features.detach().numpy(), rtol=1e-5, atol=1e-5)
    present = np.log1p(-encoder.missing_share)
    np.testing.assert_allclose(encoded.ladj, slope.log().numpy() + present, atol=1e-12)


def test_ladj_is_the_derivative_by_differences(encoder: Encoder) -> None:
    rows = tailed(50, 3).astype(np.float64)
    step = 1e-2 * np.maximum(np.abs(rows), encoder.scale) * np.array([1.0, 0.5])
    up, down = (encoder.encode(Table.of(rows + sign * step)).features for sign in (1, -1))
    slope = np.log((up - down) / (2 * step)) + np.log1p(-encoder.missing_share)
    np.testing.assert_allclose(encoder.encode(Table.of(rows)).ladj, slope, atol=5e-3)


def test_a_missing_value_costs_its_share_and_gives_its_normal_back(encoder: Encoder) -> None:
    rows = np.array([[5.0, 1.0], [np.nan, 1.0]], dtype=np.float32)
    full, gap = encoder.encode(Table.of(rows)).ladj[:, 0]
    share = encoder.missing_share[0]
    slope = -np.log(encoder.scale[0]) + np.log1p(-share)
    assert gap - full == pytest.approx(np.log(share) + HALF_LOG_TWO_PI - slope, abs=1e-12)
    encoded = encoder.encode(Table.of(rows))
    assert encoded.features[1, 0] == 0
    assert encoded.context.tolist() == [[0, 0], [1, 0]]
    assert share == pytest.approx(50.5 / 501)


def test_unseen_categories_share_a_bucket_of_their_own() -> None:
    table = draw(300, 4)
    encoder = Encoder.fit(SPEC, table)
    numeric = np.zeros((4, 3), np.float32)
    kinds = np.array([["x"], ["y"], ["new"], [None]], dtype=object)
    encoded = encoder.encode(Table.of(numeric, kinds))
    assert encoded.context[:, 3:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    share = encoded.category_log_prob[:, 0]
    assert share[2] == share[3] < share[1] < share[0]
    np.testing.assert_allclose(np.diff(share[:2]), np.diff(encoder.level_log_prob[0][:2]))
    assert np.exp(encoder.level_log_prob[0]).sum() == pytest.approx(1.0)


def test_rare_levels_beyond_the_most_frequent_are_unseen() -> None:
    names = [f"k{i:03}" for i in range(LEVELS_MAX + 20)]
    values = np.array([*names, *names[:LEVELS_MAX]], dtype=object)[:, None]
    encoder = Encoder.fit(FeatureSpec(("x",), ("k",)), Table.of(np.zeros((len(values), 1)), values))
    assert encoder.levels[0] == tuple(names[:LEVELS_MAX])
    assert np.exp(encoder.level_log_prob[0]).sum() == pytest.approx(1.0)
    assert encoder.context_width == 1 + LEVELS_MAX + 1


@pytest.mark.parametrize("bad", [(np.nan, np.nan), (np.inf, 1.0), (1.0, -np.inf), (np.inf, np.nan), (3e38, 1.0)])
def test_rows_that_say_nothing_are_unscorable(encoder: Encoder, bad: tuple[float, float]) -> None:
    encoded = encoder.encode(Table.of(np.array([bad, (5.0, 1.0)])))
    assert encoded.scorable.tolist() == [False, True]
    assert not encoded.ladj[0].any()
    assert not encoded.features[0].any()


def test_the_limit_is_in_scale_units(encoder: Encoder) -> None:
    at = encoder.shift[0] + encoder.scale[0] * FEATURE_LIMIT * np.array([0.999, 1.001])
    rows = np.column_stack([at, [1.0, 1.0]]).astype(np.float32)
    assert encoder.encode(Table.of(rows)).scorable.tolist() == [True, False]


@given(ANY_TABLE, ANY_TABLE)
def test_no_table_makes_the_encoder_return_what_is_not_finite(fitted: Any, table: Any) -> None:
    encoded = Encoder.fit(NO_CATEGORIES, Table.of(fitted)).encode(Table.of(table))
    assert np.isfinite(encoded.features).all()
    assert np.isfinite(encoded.ladj).all()
    assert not encoded.scorable[np.isinf(table).any(axis=1) | np.isnan(table).all(axis=1)].any()


@given(st.integers(-60, 60), st.integers(-60, 60))
def test_a_change_of_unit_shifts_by_exactly_its_logarithm(first: int, second: int) -> None:
    """Powers of two, so that float32 scales without rounding: the features are the same bits."""
    fitted, rows, factor = tailed(100, 5), tailed(40, 6), np.array([2.0**first, 2.0**second], dtype=np.float32)
    plain = Encoder.fit(NO_CATEGORIES, Table.of(fitted)).encode(Table.of(rows))
    other = Encoder.fit(NO_CATEGORIES, Table.of(fitted * factor)).encode(Table.of(rows * factor))
    np.testing.assert_array_equal(other.features, plain.features)
    np.testing.assert_allclose(other.ladj, plain.ladj - np.array([first, second]) * np.log(2), atol=1e-10)


@given(st.integers(0, 10**6))
def test_the_state_goes_round(seed: int) -> None:
    table, rows = draw(60, seed), draw(20, seed + 1)
    encoder = Encoder.fit(SPEC, table)
    meta, parts = encoder.to_state()
    again = Encoder.from_state(json.loads(json.dumps(meta)), parts)
    assert (again.spec, again.levels) == (encoder.spec, encoder.levels)
    ours, theirs = (e.encode(rows) for e in (encoder, again))
    for name in ("features", "context", "ladj", "missing", "scorable"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize(
    ("name", "value"),
    [("unit", np.zeros(3)), ("scale", np.zeros(2)), ("scale", -np.ones(2)), ("missing_share", np.array([0.0, 0.5])),
     ("missing_share", np.array([0.5, 1.0])), ("shift", np.zeros((2, 1)))],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(encoder: Encoder, name: str, value: Any) -> None:
    meta, parts = encoder.to_state()
    with pytest.raises(ValueError, match="encoder"):
        Encoder.from_state(meta, parts | {name: value})


def test_wrong_shapes_are_refused_with_the_names(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="x, tail"):
        encoder.encode(Table.of(np.zeros((2, 3))))
    with pytest.raises(ValueError, match="categories"):
        encoder.encode(Table.of(np.zeros((2, 2)), [["x"], ["y"]]))
    with pytest.raises(ValueError, match="no rows"):
        Encoder.fit(NO_CATEGORIES, Table.of(np.zeros((0, 2))))
