"""Table to features: the Jacobian is the transform's own, gaps and news have their place, units do not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowlib.encoder.encoded import Encoded
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.fitting import LEVELS_MAX
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Table
from tests.flowlib.conftest import SPEC, draw

NO_CATEGORIES = FeatureSpec(("x", "tail"))
MIXED = FeatureSpec(("plain", "tail", "count", "rounded"), ("kind",))
EVERYTHING = EncoderConfig(context=("hour", "weekday", "season", "slice"))
ANY_TABLE = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats())


def tailed(n: int, seed: int) -> Any:
    """A linear column and a non-negative one with a long tail."""
    g = np.random.default_rng(seed)
    return np.column_stack([5 + 2 * g.standard_normal(n), np.exp(2 * g.standard_normal(n))]).astype(np.float32)


def mixed(n: int, seed: int) -> Table:
    """A linear, a long-tailed, an integer and a rounded column with gaps; two slices and a rare one."""
    g = np.random.default_rng(seed)
    numeric = np.column_stack([tailed(n, seed), g.poisson(4.0, n), np.round(g.normal(20, 3, n), 1)])
    numeric[g.random(numeric.shape) < 0.05] = np.nan
    slices = g.choice(["big", "small", "rare"], n, p=[0.7, 0.29, 0.01])
    kinds = g.choice(["x", "y"], (n, 1)).astype(object)
    return Table.of(numeric, kinds, slices.astype(object), 3_600_000 * np.arange(n))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    table = tailed(500, 1)
    table[::10, 0] = np.nan
    return Encoder.fit(NO_CATEGORIES, Table.of(table))


def test_the_two_kinds_of_column_are_told_apart(encoder: Encoder) -> None:
    assert [(made.kind, columns.tolist()) for columns, made in encoder.maps] == [("standard", [0]), ("log", [1])]


def test_ladj_is_the_derivative_by_differences(encoder: Encoder) -> None:
    rows = tailed(50, 3).astype(np.float64)
    step = 1e-2 * np.maximum(np.abs(rows), 1.0) * np.array([1.0, 0.5])
    step[:, 1] = 1e-2 * rows[:, 1]
    up, down = ((rows + sign * step).astype(np.float32) for sign in (1, -1))
    rise = encoder.encode(Table.of(up)).features - encoder.encode(Table.of(down)).features
    slope = np.log(rise / (up - down)) + np.log1p(-encoder.missing_share)
    np.testing.assert_allclose(encoder.encode(Table.of(rows)).ladj, slope, atol=5e-3)


def test_a_missing_value_costs_its_share_and_gives_its_normal_back(encoder: Encoder) -> None:
    rows = np.array([[5.0, 1.0], [np.nan, 1.0]], dtype=np.float32)
    full, gap = encoder.encode(Table.of(rows)).ladj[:, 0]
    share = encoder.missing_share[0]
    slope = -np.log(encoder.maps[0][1].scale[0]) + np.log1p(-share)
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
    assert encoder.context_width == 1 + LEVELS_MAX + 1


@pytest.mark.parametrize("bad", [(np.nan, np.nan), (np.inf, 1.0), (1.0, -np.inf), (np.inf, np.nan), (1e300, 1.0)])
def test_rows_that_say_nothing_are_unscorable(encoder: Encoder, bad: tuple[float, float]) -> None:
    encoded = encoder.encode(Table.of(np.array([bad, (5.0, 1.0)])))
    assert encoded.scorable.tolist() == [False, True]
    assert not encoded.ladj[0].any()
    assert not encoded.features[0].any()
    assert not encoded.tail_nats.any()


def test_beyond_its_limit_a_column_pays_by_itself(encoder: Encoder) -> None:
    shift, scale, limit = encoder.maps[0][1].shift[0], encoder.maps[0][1].scale[0], encoder.limit[0]
    at = shift + scale * limit * np.array([0.99, 1.01, -1.01, 1e6, 1e30])
    encoded = encoder.encode(Table.of(np.column_stack([at, np.ones(5)])))
    assert encoded.scorable.all()
    np.testing.assert_allclose(encoded.features[:, 0], limit * np.array([0.99, 1, -1, 1, 1]), rtol=1e-5)
    price = encoded.tail_nats
    assert price[0, 0] == 0
    assert price[1, 0] == pytest.approx(price[2, 0], rel=1e-3)
    assert 0 < price[1, 0] < price[3, 0] < price[4, 0] < 1e6
    assert not price[:, 1].any()


@given(ANY_TABLE, ANY_TABLE)
def test_no_table_makes_the_encoder_return_what_is_not_finite(fitted: Any, table: Any) -> None:
    rows = Table.of(table)
    encoded = Encoder.fit(NO_CATEGORIES, Table.of(fitted)).encode(rows)
    assert np.isfinite(encoded.features).all()
    assert np.isfinite(encoded.ladj).all()
    assert np.isfinite(encoded.tail_nats).all()
    useless = np.isinf(rows.numeric).any(axis=1) | np.isnan(table).all(axis=1)
    assert (encoded.scorable == ~useless).all()


@given(st.integers(-60, 60), st.integers(-60, 60))
def test_a_change_of_unit_shifts_by_exactly_its_logarithm(first: int, second: int) -> None:
    """Powers of two, so that numbers scale without rounding."""
    fitted, rows, factor = tailed(100, 5), tailed(40, 6), np.array([2.0**first, 2.0**second])
    plain = Encoder.fit(NO_CATEGORIES, Table.of(fitted)).encode(Table.of(rows))
    other = Encoder.fit(NO_CATEGORIES, Table.of(fitted * factor)).encode(Table.of(rows * factor))
    np.testing.assert_allclose(other.features, plain.features, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.ladj, plain.ladj - np.array([first, second]) * np.log(2), atol=1e-10)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_row_is_encoded_to_the_same_bits_wherever_it_stands(seed: int) -> None:
    table, g = mixed(400, seed), np.random.default_rng(seed)
    encoder = Encoder.fit(MIXED, mixed(600, 1), EVERYTHING)
    whole, pick = encoder.encode(table), g.permutation(400)[: g.integers(1, 60)]
    part = encoder.encode(table.take(pick))
    for name in Encoded.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(whole, name)[pick], getattr(part, name))


def test_the_state_goes_round() -> None:
    table, rows = mixed(600, 1), mixed(50, 2)
    for config in (EncoderConfig(), EVERYTHING):
        encoder = Encoder.fit(MIXED, table, config)
        meta, parts = encoder.to_state()
        again = Encoder.from_state(json.loads(json.dumps(meta)), parts)
        for name in ("spec", "config", "levels", "rare_levels", "slices", "findings"):
            assert getattr(again, name) == getattr(encoder, name)
        for name in Encoded.__dataclass_fields__:
            np.testing.assert_array_equal(*(getattr(e.encode(rows), name) for e in (encoder, again)))
        for ours, theirs in zip(encoder.cells(rows), again.cells(rows), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolution", np.zeros(3)),
        ("resolution", -np.ones(4)),
        ("limit", np.zeros(4)),
        ("limit", np.full(4, np.nan)),
        ("missing_share", np.array([0.0, 0.5, 0.5, 0.5])),
        ("missing_share", np.array([0.5, 1.0, 0.5, 0.5])),
        ("limit", np.ones((4, 1))),
        ("limit", np.ones(4, np.float32)),
        ("level_log_prob.0", np.zeros(2)),
        ("slice_table", np.zeros((2, 8), np.float32)),
        ("slice_table", np.zeros((3, 8))),
        ("standard.scale", np.zeros(1)),
        ("log.floor", np.zeros(2)),
        ("standard.shift", np.array([np.inf])),
    ],
)
def test_a_state_that_does_not_fit_is_refused(name: str, value: Any) -> None:
    meta, parts = Encoder.fit(MIXED, mixed(600, 1), EVERYTHING).to_state()
    assert name in parts
    with pytest.raises(ValueError, match="encoder"):
        Encoder.from_state(meta, parts | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maps", [["standard", [0, 1, 2, 2]]]),
        ("config", {"maps": ["cubic"]}),
        ("config", {"context": ["moon"]}),
        ("levels", []),
        ("config", {"embedding": 10**6, "context": ["slice"]}),
        ("slices", []),
    ],
)
def test_a_senseless_description_is_refused(name: str, value: Any) -> None:
    meta, parts = Encoder.fit(MIXED, mixed(600, 1), EncoderConfig(maps=("standard",), context=("slice",))).to_state()
    with pytest.raises(ValueError, match=r"encoder|argument"):
        Encoder.from_state(meta | {name: value}, parts)


def test_what_is_no_table_is_refused_with_the_names(encoder: Encoder) -> None:
    for bad, says in [
        (Table.of(np.zeros((2, 3))), "x, tail"),
        (Table.of(np.zeros((2, 2)), [["x"], ["y"]]), "categories"),
        (replace(Table.of(np.zeros((2, 2))), numeric=np.zeros((2, 2), np.float32)), "float32, expected float64"),
        (replace(Table.of(np.zeros((2, 2))), numeric=np.array([["1", "2"]])), "expected float64"),
    ]:
        with pytest.raises(ValueError, match=says):
            encoder.encode(bad)
        with pytest.raises(ValueError, match=says):
            encoder.cells(bad)
    with pytest.raises(ValueError, match="no rows"):
        Encoder.fit(NO_CATEGORIES, Table.of(np.zeros((0, 2))))
    with pytest.raises(ValueError, match=r"must hold numbers.*categories"):
        Table.of([["warm", 1.0]])


def test_nothing_is_encoded_to_nothing(encoder: Encoder) -> None:
    encoded = encoder.encode(Table.of(np.zeros((0, 2))))
    assert encoded.features.shape == (0, 2)
    assert encoded.context.shape == (0, encoder.context_width)


def test_cells_hold_the_value_and_dequantization_stays_inside() -> None:
    table = mixed(500, 5)
    encoder = Encoder.fit(MIXED, table)
    assert encoder.resolution.tolist() == pytest.approx([0, 0, 1, 0.1], rel=1e-3)
    (low, high), at = encoder.cells(table), encoder.encode(table).features
    present = ~np.isnan(table.numeric)
    assert (low <= at)[present].all()
    assert (at <= high)[present].all()
    np.testing.assert_array_equal(low[:, :2], high[:, :2])
    assert (low < high)[:, 2:][present[:, 2:]].all()
    spread = encoder.dequantize(table, np.random.default_rng(1))
    inside = encoder.encode(spread).features
    assert (inside >= low - 1e-4)[present].all()
    assert (inside <= high + 1e-4)[present].all()
    assert np.nanmax(np.abs(spread.numeric - table.numeric)[:, 2]) > 0.4
    np.testing.assert_array_equal(np.isnan(spread.numeric), np.isnan(table.numeric))


def test_decoding_comes_back() -> None:
    table = Table.of(np.abs(tailed(300, 8)) + 0.1)
    encoder = Encoder.fit(NO_CATEGORIES, table)
    np.testing.assert_allclose(encoder.decode(encoder.encode(table).features), table.numeric, rtol=1e-4, atol=1e-5)
