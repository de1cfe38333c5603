"""What is written in C++ gives the bits that the form in NumPy beside it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from flowlib import native
from flowlib.channels import Channels
from flowlib.density import Density, _Uncalibrated
from flowlib.encoder.encoded import Encoded
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import FeatureSpec
from flowlib.pooling import LEVELS, Tails
from flowlib.reference.values import value_counts
from flowlib.table import Coded, Table, doubles
from flowlib.ties import draws
from tests.flowlib.conftest import draw

pytestmark = pytest.mark.skipif(native.loops is None, reason="no compiler was there")
ODD = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -1e-120, 1.8e308, -3.5e38, 1e-100, 0.5, -2.5]


@contextmanager
def numpy_alone() -> Iterator[None]:
    loops, native.loops = native.loops, None
    try:
        yield
    finally:
        native.loops = loops


def both(make: Callable[[], Any]) -> tuple[Any, Any]:
    ours = make()
    with numpy_alone():
        return ours, make()


def bits(array: Any) -> Any:
    """Bits tell 0 from −0, and are equal where NaN are."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}") if array.dtype.kind == "f" else array


def assert_alike(ours: Any, plain: Any) -> None:
    for field in fields(ours):
        a, b = getattr(ours, field.name), getattr(plain, field.name)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), field.name
        assert np.array_equal(bits(a), bits(b)), field.name


def rows(n: int, seed: int, odd: bool) -> Table:
    rng, table = np.random.default_rng(seed), draw(n, seed)
    numeric = table.numeric.copy()
    if odd:
        numeric[rng.random(numeric.shape) < 0.05] = np.nan
        far = rng.random(numeric.shape) < 0.01
        numeric[far] = rng.choice([1e3, -1e30, np.inf], int(far.sum()))
    else:
        numeric = np.nan_to_num(numeric)
    slices = rng.choice(["big", "small", "never seen"], n).astype(object)
    table = Table.of(numeric, table.categories, slices, np.arange(n))
    return replace(table, coded=Coded.of(slices.tolist()))


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("n", [1, 63, 1_500])
def test_scores(density: Density, n: int, odd: bool) -> None:
    table = rows(n, n, odd)
    assert_alike(*both(lambda: density.score(table)))


def test_scores_of_rows_that_tie_with_the_reference(density: Density) -> None:
    calibration = replace(density.calibration, key=77)
    surprise = np.concatenate([calibration.scores[::3], calibration.scores[-1:] + 1.0, [0.0]])
    table = draw(len(surprise), 5)
    p, plain = both(lambda: calibration.p_values(surprise, table.slices, lambda i: draws(table, 77, i))[0])
    assert np.array_equal(p, plain)


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 33, 127, 128, 129, 300])
def test_parts_and_their_sums(d: int) -> None:
    rng, (n, k) = np.random.default_rng(d), (40, d % 3)
    z, ladj = rng.standard_normal((2, n, d)).astype(np.float32) * np.float32(30)
    missing, scorable = rng.random((n, d)) < 0.05, rng.random(n) < 0.9
    missing[: n // 2] = False
    ladj[3, 0], z[4, -1] = np.nan, np.inf
    category, beside = rng.standard_normal((n, k)), rng.standard_normal((n, d)) * 1e3
    none = np.zeros((n, 0), dtype=np.int64)
    tails = np.zeros((n, d))
    encoded = Encoded(z, z, beside, tails, category, none, none, missing, scorable)
    with np.errstate(all="ignore"):
        assert_alike(_Uncalibrated._added(z, ladj, encoded), _Uncalibrated._together(z, ladj, encoded))
        one = replace(encoded, ladj=np.broadcast_to(beside[0], (n, d)))
        assert_alike(_Uncalibrated._added(z, ladj, one), _Uncalibrated._together(z, ladj, one))


def test_plain_rows_are_encoded_as_any(density: Density) -> None:
    for odd in (False, True):
        table = rows(300, 9, odd)
        assert_alike(*both(partial(density.encoder.encode, table)))
    plain = Encoder.fit(FeatureSpec(("a", "b")), Table.of(rows(300, 9, odd=False).numeric[:, :2]))
    assert plain._plain(rows(30, 8, odd=False).numeric[:, :2]) is not None
    far = np.array([[1e9, 0.0], [0.0, np.nan], [0.0, 0.0]])
    assert [plain._plain(far[i : i + 1]) is None for i in range(3)] == [True, True, False]


@pytest.mark.parametrize("gaps", [False, True])
def test_event_scores(density: Density, gaps: bool) -> None:
    held = density.score(rows(2_000, 3, odd=False))
    channels = Channels.fit(held, tuple(len(levels) for levels in density.encoder.levels), np.ones(3, dtype=bool))
    edges = np.where(np.isfinite(channels.base.edges), channels.base.edges, 0.0)
    rng, n = np.random.default_rng(1), edges.shape[1]
    at_edges = np.concatenate([edges.T, np.nextafter(edges.T, np.float32(9)), rng.standard_cauchy((n, 4))])
    z, surprise = np.ascontiguousarray(at_edges[:, :3], np.float32), at_edges[:, 3].astype(np.float64)
    there = rng.random(z.shape) < (0.5 if gaps else 2.0)
    scores = replace(
        held,
        z=z,
        surprise=surprise,
        missing=~there,
        scorable=there[:, 0] | (not gaps),
        levels=np.zeros((len(z), 1), np.int64),
    )
    assert_alike(*both(lambda: channels.of(scores)))


def test_values_are_counted_and_held_within_what_can_be_told_from_infinity() -> None:
    rng = np.random.default_rng(0)
    numeric = np.concatenate([rng.standard_normal((500, 3)) * [1.0, 1e6, 1e-3], np.array(ODD).reshape(-1, 3)])
    numeric[:200] = np.round(numeric[:200] * 2_048) / 2_048  # halves of a count
    centre, scale = np.array([0.0, 3.0, -1e-3]), np.array([1.0, 1e6, 2e-3])
    ours, plain = both(lambda: value_counts(numeric, centre, scale))
    assert np.array_equal(ours, plain)
    for values in ([1.0, -1e-99], ODD, [np.nan], []):
        ours, plain = both(partial(doubles, values))
        assert np.array_equal(bits(ours), bits(plain))


def test_rarities_within_slices() -> None:
    rng = np.random.default_rng(2)
    hazard = rng.normal(0, 1, (5, LEVELS)).astype(np.float32)
    ones = np.ones((5, LEVELS), np.float32)
    tails = Tails(tuple("abcde"), np.full(5, 9), hazard, ones, ones[0])
    rarity, codes = np.concatenate([rng.exponential(2.0, 900), tails._edges[2], [0.0, 800.0]]), rng.integers(0, 6, 918)
    ours, plain = both(lambda: tails.rarity(rarity, codes))
    assert np.array_equal(ours, plain)


def test_draws() -> None:
    rng = np.random.default_rng(3)
    numeric = np.concatenate([rng.standard_normal((50, 4)), np.array(ODD).reshape(-1, 4)])
    table = Table.of(numeric, None, rng.choice(["a", "b"], 53), rng.integers(-9, 2**60, 53))
    for some in (None, rng.integers(0, 53, 20)):
        ours, plain = both(partial(draws, table, 2**63 + 5, some))
        assert np.array_equal(ours, plain)


def test_how_many_came_before() -> None:
    assert native.loops is not None
    codes = np.random.default_rng(4).integers(0, 5, 300)
    out = np.empty_like(codes)
    native.loops.earlier(codes, np.zeros(5, dtype=np.int64), out)
    assert out.tolist() == [int((codes[:i] == code).sum()) for i, code in enumerate(codes)]


def test_what_does_not_fit_is_refused_before_it_is_read() -> None:
    assert native.loops is not None
    one, rows_of = np.zeros(3), np.zeros(3, dtype=np.int64)
    with pytest.raises(ValueError, match="must be those of the slices"):
        native.loops.within_slices(one, rows_of + 2, np.zeros((2, 4)), np.zeros((2, 4)), 1.0, one)
    with pytest.raises(ValueError, match="must be rows of the table"):
        native.loops.draws(rows_of - 1, 1, rows_of, rows_of.astype(np.uint64), np.zeros((3, 2)), one)
    with pytest.raises(ValueError, match="out has another length"):
        native.loops.counts(np.zeros((3, 2)), np.zeros(2), np.ones(2), 1.0, 1.0, rows_of)
    with pytest.raises(ValueError, match="x has elements of another type"):
        native.loops.within(np.zeros(3, np.float32), 1.0, 2.0)
    with pytest.raises(TypeError, match="arguments"):
        native.loops.within(one)
