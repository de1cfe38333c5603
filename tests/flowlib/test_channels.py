"""Bounded normal scores: mean 0 whatever the ties, in the order of the values, small in an artifact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import ndtri

from flowlib.channels import GROUPS, PAIRS_MAX, UNIT, Channels, StepMap, pairs_of, value_codes
from flowlib.density import Scores
from flowlib.table import Floats

SEED = 4


def scored(x: Floats) -> tuple[StepMap, Floats]:
    """The map of one column, and the column's own scores."""
    column = x.astype(np.float32)[:, None]
    made = StepMap.fit(column, np.ones(column.shape, dtype=bool))
    return made, made.of(column)[:, 0] / UNIT


SHAPES: dict[str, Any] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "counts": lambda rng, n: rng.poisson(1.5, n),
    "zero-inflated": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(3.0, n)),
    "two values": lambda rng, n: rng.integers(0, 2, n),
    "one rare value": lambda rng, n: (np.arange(n) < max(n // 500, 1)).astype(float),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [2_000, 30_000])
def test_scores_of_the_rows_they_were_fitted_on_have_the_mean_0(shape: str, n: int) -> None:
    _, scores = scored(SHAPES[shape](np.random.default_rng(SEED), n))
    assert abs(scores.mean()) < 0.002
    assert scores.std() < 1.02
    assert np.abs(scores).max() <= 3.31


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bet", [0.1, 0.6, 1.2, -0.6])
def test_ties_have_no_larger_cumulants_than_normal_scores(shape: str, bet: float) -> None:
    """Jensen: an average over an interval varies less than what lies in it."""
    _, scores = scored(SHAPES[shape](np.random.default_rng(SEED), 20_000))
    assert np.log(np.exp(bet * scores).mean()) <= bet**2 / 2 * 1.03 + 1e-3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=60))
def test_scores_are_in_the_order_of_the_values_and_equal_where_they_are(values: list[float]) -> None:
    x = np.array(values)
    _, scores = scored(x)
    order = np.argsort(x.astype(np.float32), kind="stable")
    assert (np.diff(scores[order]) >= 0).all()
    assert abs(scores.mean()) < 0.35 + 1e-3 * len(x), "tiny n: a step may be off by rounding, never by much"
    for value in set(x.astype(np.float32).tolist()):
        assert len(set(scores[x.astype(np.float32) == value].tolist())) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
def test_few_rows_make_few_steps(n: int) -> None:
    made, scores = scored(np.arange(n))
    assert abs(scores.mean()) < 1e-2
    assert made.edges.shape[1] <= max(n - 1, 0)
    assert made.varies.tolist() == [n > 1]


def test_a_column_without_values_or_with_one_scores_nothing() -> None:
    x = np.column_stack([np.full(50, 3.0), np.arange(50.0), np.zeros(50)]).astype(np.float32)
    present = np.ones(x.shape, dtype=bool)
    present[:, 2] = False
    made = StepMap.fit(x, present)
    assert made.varies.tolist() == [False, True, False]
    out = made.of(np.array([[1e9, 1e9, 1e9], [-1e9, -1e9, -1e9]], dtype=np.float32))
    assert out[:, 0].tolist() == out[:, 2].tolist() == [0, 0]
    assert out[0, 1] > UNIT > -UNIT > out[1, 1]


def test_values_beyond_all_that_was_seen_have_the_largest_scores() -> None:
    made, scores = scored(np.random.default_rng(SEED).standard_normal(5_000))
    far = made.of(np.array([[np.inf], [-np.inf], [1e30]], dtype=np.float32))[:, 0] / UNIT
    assert far[0] == far[2] == scores.max()
    assert far[1] == scores.min()


def test_a_score_is_the_normal_quantile_of_the_place() -> None:
    x = np.random.default_rng(SEED).exponential(1.0, 20_000)
    _, scores = scored(x)
    place = (np.argsort(np.argsort(x)) + 0.5) / len(x)
    inside = (place > 0.002) & (place < 0.998)
    assert np.abs(scores - ndtri(place))[inside].max() < 0.08


FLOATS = arrays.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(1)), elements=st.floats(allow_nan=False))


@settings(max_examples=300, deadline=None)
@given(FLOATS)
def test_codes_are_ordered_as_the_values_are(x: Floats) -> None:
    """Negative ones, both zeros, denormals, infinities."""
    codes, values = value_codes(x)[:, 0], x[:, 0]
    assert ((codes[:, None] < codes) == (values[:, None] < values)).all()
    assert ((codes[:, None] == codes) == (values[:, None] == values)).all()


def test_codes_of_what_is_special() -> None:
    tiny = 5e-324
    x = np.array([[-np.inf, -1.0, -tiny, -0.0, 0.0, tiny, 1.0, np.inf]])
    codes = value_codes(x)[0]
    assert (np.diff(codes) >= 0).all()
    assert codes[3] == codes[4] == 0
    assert (codes[2], codes[5]) == (-1, 1)
    assert codes.dtype == np.int64


def scores_of(rng: np.random.Generator, n: int, d: int, levels: tuple[int, ...] = ()) -> Scores:
    """Scores of n rows whose first two columns depend on each other."""
    z = rng.standard_normal((n, d)).astype(np.float32)
    features = z.copy()
    features[:, 1] = 0.8 * features[:, 0] + 0.6 * features[:, 1]
    missing = rng.random((n, d)) < 0.1
    z[missing] = features[missing] = 0
    codes = [np.minimum(rng.geometric(0.4, n) - 1, known) for known in levels]
    zeros, yes = np.zeros(n), np.ones(n, dtype=bool)
    return Scores(
        log_prob=zeros, parts=np.zeros((n, d)), z=z, features=features,
        levels=np.stack(codes, axis=1).astype(np.int64) if codes else np.zeros((n, 0), np.int64),
        distance=zeros, surprise=(z**2).sum(axis=1).astype(np.float64), p_value=zeros + 0.5, pooled=~yes,
        scorable=yes, missing=missing,
    )  # fmt: skip


@pytest.mark.parametrize("d", [2, 10, 11, 12, 20])
def test_pairs_are_all_or_those_that_depend_most(d: int) -> None:
    rng = np.random.default_rng(SEED)
    channels = Channels.fit(scores_of(rng, 3_000, d), (), np.ones(d, dtype=bool))
    assert len(channels.pairs) == pairs_of(d) == min(d * (d - 1) // 2, PAIRS_MAX)
    assert [0, 1] in channels.pairs.tolist()
    assert (channels.pairs[:, 0] < channels.pairs[:, 1]).all()
    assert len({tuple(pair) for pair in channels.pairs.tolist()}) == len(channels.pairs)


def test_columns_that_are_not_watched_and_events_that_cannot_be_scored_score_nothing() -> None:
    rng = np.random.default_rng(SEED)
    scores = scores_of(rng, 500, 3)
    channels = Channels.fit(scores, (), np.array([True, False, True]))
    scores.scorable[:5] = False
    events = channels.of(scores)
    assert not events.base[:, 1].any()
    assert not events.base[:5].any()
    assert not events.present[:5].any()
    assert not events.base[:, :3][scores.missing].any()
    products = channels.products(events.base)
    assert np.array_equal(products[:, 1], events.base[:, 0] * events.base[:, 2])


def test_the_most_frequent_levels_have_groups_of_their_own() -> None:
    rng = np.random.default_rng(SEED)
    scores = scores_of(rng, 5_000, 2, levels=(12, 3))
    channels = Channels.fit(scores, (12, 3), np.ones(2, dtype=bool))
    many, few = channels.groups
    assert many.tolist() == [*range(GROUPS - 2), *[GROUPS - 2] * 5, GROUPS - 1], "geometric: in order of their codes"
    assert few.tolist() == [0, 1, 2, GROUPS - 1]
    assert channels.of(scores).group.shape == (5_000, 2)


def made(d: int = 3, levels: tuple[int, ...] = (4,)) -> Channels:
    return Channels.fit(scores_of(np.random.default_rng(SEED), 800, d, levels), levels, np.ones(d, dtype=bool))


def test_state_round_trip() -> None:
    channels, scores = made(), scores_of(np.random.default_rng(9), 300, 3, (4,))
    state = channels.to_state()
    assert all(np.isfinite(array).all() for array in state.values()), "an artifact holds no infinities"
    back = Channels.from_state(state, 3, (4,))
    for name in ("base", "present", "group"):
        assert np.array_equal(getattr(back.of(scores), name), getattr(channels.of(scores), name))
    assert np.array_equal(back.pairs, channels.pairs)


SENSELESS: list[tuple[str, Any]] = [
    ("edges", lambda a: a[:-1]),
    ("edges", lambda a: a[:, ::-1]),
    ("edges", lambda a: np.where(np.arange(a.shape[1]) == 3, np.nan, a).astype(np.float32)),
    ("edges", lambda a: a[0]),
    ("codes", lambda a: a[:, 1:]),
    ("codes", lambda a: a.astype(np.int64)),
    ("pairs", lambda a: a[1:]),
    ("pairs", lambda a: a + 2),
    ("pairs", lambda a: a - 1),
    ("pairs", lambda a: a.astype(np.int32)),
    ("groups.0", lambda a: a[1:]),
    ("groups.0", lambda a: a + 5),
    ("groups.0", lambda a: a - 1),
    ("groups.0", lambda a: a.astype(float)),
]


@pytest.mark.parametrize(("name", "change"), SENSELESS, ids=[f"{i} {name}" for i, (name, _) in enumerate(SENSELESS)])
def test_a_senseless_state_is_refused(name: str, change: Any) -> None:
    state = made().to_state()
    with pytest.raises(ValueError, match="channels: "):
        Channels.from_state(state | {name: change(state[name])}, 3, (4,))
    with pytest.raises(KeyError):
        Channels.from_state({key: array for key, array in state.items() if key != name}, 3, (4,))


def test_scores_in_a_state_are_bounded() -> None:
    """Sums of squares and products of events fit because a score does."""
    state = made().to_state()
    state["codes"] = np.full_like(state["codes"], np.iinfo(np.int16).max)
    with pytest.raises(ValueError, match="channels: "):
        Channels.from_state(state, 3, (4,))
