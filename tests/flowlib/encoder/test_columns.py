"""Column maps: the log-derivative is the map's own, the inverse comes back, and no value is folded back or cut off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowlib.encoder.columns import KNOTS, MAPS, Asinh, ColumnMap, Log, Quantile, Robust, Standard
from flowlib.encoder.fitting import GAIN_MIN_NATS, LIMIT_MAX, fit_column, held_out, limits, tail_nats

KINDS = tuple(MAPS)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
FAR = st.floats(width=32, allow_nan=False, allow_infinity=False)


def positive(n: int = 2_000, seed: int = 0) -> Any:
    """Values that every kind can be fitted on."""
    return np.exp(0.7 * np.random.default_rng(seed).standard_normal(n)) + 0.01


FITTED: dict[str, ColumnMap] = {kind: MAPS[kind].fit(positive()) for kind in KINDS}  # type: ignore[misc]


def reach(x: Any) -> Any:
    """The values, between them, and far beyond them on both sides."""
    low, high = x.min(), x.max()
    return np.concatenate(
        [np.linspace(low, high, 400), high + np.geomspace(0.1, 1e6, 50), low - np.geomspace(0.01, 1e6, 50)]
    )


@EVERY_KIND
def test_the_slope_is_the_derivative_by_differences(kind: str) -> None:
    x = reach(positive())[:, None]
    step = 1e-6 * np.maximum(np.abs(x), 0.01)
    (up, _), (down, _), (_, slope) = (FITTED[kind].forward(at) for at in (x + step, x - step, x))
    kinks = FITTED[kind].arrays().get("floor", np.full(1, np.inf))
    smooth = np.abs(x - kinks)[:, 0] > 10 * step[:, 0]
    numeric = np.log((up - down) / (2 * step))
    np.testing.assert_allclose(slope[smooth], numeric[smooth], atol=2e-4)


def torch_forward(one: ColumnMap, x: torch.Tensor) -> torch.Tensor:
    """The maps written once more, in torch, from their parameters alone."""
    part = {name: torch.from_numpy(array) for name, array in one.arrays().items()}
    if isinstance(one, Asinh):
        x = torch.asinh((x - part["centre"]) / part["unit"])
    elif isinstance(one, Log):
        floor = part["floor"]
        x = torch.where(x >= floor, torch.log(torch.clamp(x, min=floor)), torch.log(floor) + (x - floor) / floor)
    elif isinstance(one, Quantile):
        return spline((x - part["shift"]) / part["scale"], *(part[name][0] for name in ("knots", "scores", "slopes")))
    return (x - part["shift"]) / part["scale"]


def spline(u: torch.Tensor, knots: torch.Tensor, scores: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    k = torch.clamp(torch.searchsorted(knots, u.detach()) - 1, 0, len(knots) - 2)
    width, rise = knots[k + 1] - knots[k], scores[k + 1] - scores[k]
    chord, at = rise / width, (u - knots[k]) / width
    bottom = chord + (slopes[k] + slopes[k + 1] - 2 * chord) * at * (1 - at)
    inside = scores[k] + rise * (chord * at**2 + slopes[k] * at * (1 - at)) / bottom
    below = scores[0] + slopes[0] * (u - knots[0])
    above = scores[-1] + slopes[-1] * (u - knots[-1])
    return torch.where(u < knots[0], below, torch.where(u > knots[-1], above, inside))


@EVERY_KIND
def test_the_slope_is_the_derivative_by_autograd(kind: str) -> None:
    rows = reach(positive())
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    value = torch_forward(FITTED[kind], x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    ours, log_slope = FITTED[kind].forward(rows[:, None])
    np.testing.assert_allclose(ours[:, 0], value.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(log_slope[:, 0], slope.log().numpy(), rtol=1e-9, atol=1e-9)


@EVERY_KIND
def test_the_inverse_comes_back(kind: str) -> None:
    x = reach(positive())[:, None]
    value, _ = FITTED[kind].forward(x)
    np.testing.assert_allclose(FITTED[kind].inverse(value), x, rtol=1e-7, atol=1e-9)


@EVERY_KIND
@given(FAR)
def test_what_a_flow_puts_far_out_comes_back_as_a_number(kind: str, value: float) -> None:
    back = FITTED[kind].inverse(np.array([[value]]))
    assert np.isfinite(back * back).all()


@EVERY_KIND
@given(FAR, FAR)
def test_more_is_never_less_however_far(kind: str, a: float, b: float) -> None:
    (low, high), _ = FITTED[kind].forward(np.array([[a], [b]]))
    assert np.isfinite([low, high]).all()
    if a < b and b - a > 1e-6 * max(abs(a), abs(b), 1e-3):
        assert low < high
    elif a == b:
        assert low == high


@EVERY_KIND
def test_a_stack_is_its_columns_side_by_side(kind: str) -> None:
    one, other = (MAPS[kind].fit(positive(600, seed)) for seed in (1, 2))
    assert one is not None
    assert other is not None
    both = MAPS[kind].stack([one, other])
    both.check(2)
    x = np.stack([reach(positive()), reach(positive())[::-1]], axis=1)
    for j, single in enumerate((one, other)):
        for whole, alone in zip(both.forward(x), single.forward(x[:, j : j + 1]), strict=True):
            np.testing.assert_array_equal(whole[:, j], alone[:, 0])


@EVERY_KIND
@given(st.integers(-40, 40))
def test_units_do_not_matter(kind: str, power: int) -> None:
    x, unit = positive(400, 3), 2.0**power
    plain, other = MAPS[kind].fit(x), MAPS[kind].fit(x * unit)
    assert plain is not None
    assert other is not None
    (value, slope), (scaled, moved) = plain.forward(x[:, None]), other.forward(x[:, None] * unit)
    np.testing.assert_allclose(scaled, value, atol=1e-8)
    np.testing.assert_allclose(moved, slope - np.log(unit), atol=1e-8)


def test_quantiles_become_normal_whatever_the_law() -> None:
    g = np.random.default_rng(4)
    two = np.where(g.random(20_000) < 0.3, g.normal(-5, 0.2, 20_000), g.exponential(1.0, 20_000))
    made = Quantile.fit(two[::2])
    assert made is not None
    value, _ = made.forward(two[1::2, None])
    assert abs(value.mean()) < 0.05
    assert abs(value.std() - 1) < 0.05
    assert made.knots.shape == (1, KNOTS)


def test_a_tail_keeps_the_mean_excess_of_a_normal() -> None:
    x = np.random.default_rng(5).exponential(1.0, 50_000)
    made = Quantile.fit(x)
    assert made is not None
    value, _ = made.forward(x[:, None])
    top = 2.5758
    assert value[value > top].mean() - top == pytest.approx(0.0145973 / 0.005 - top - 0.0305, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("standard", "scale", np.zeros(1)),
        ("robust", "scale", -np.ones(1)),
        ("asinh", "unit", np.zeros(1)),
        ("log", "floor", np.zeros(1)),
        ("standard", "shift", np.array([np.nan])),
        ("asinh", "centre", np.zeros((1, 1))),
        ("standard", "shift", np.zeros(2)),
        ("log", "shift", np.zeros(1, np.float32)),
        ("quantile", "knots", np.zeros((1, KNOTS))),
        ("quantile", "scores", np.arange(0.0, -KNOTS, -1.0)[None]),
        ("quantile", "slopes", np.zeros((1, KNOTS))),
        ("quantile", "slopes", np.ones((1, 3))),
        ("quantile", "knots", np.full((1, KNOTS), np.inf)),
    ],
)
def test_senseless_parameters_are_refused(kind: str, name: str, value: Any) -> None:
    FITTED[kind].check(1)
    with pytest.raises(ValueError, match=kind):
        replace(FITTED[kind], **{name: value}).check(1)


def law(name: str, n: int, seed: int = 6) -> Any:
    g = np.random.default_rng(seed)
    return {
        "normal": lambda: g.normal(3, 2, n),
        "log-normal": lambda: np.exp(1.5 * g.standard_normal(n)),
        "two-sided": lambda: np.sinh(2 * g.standard_normal(n)),
        "two humps": lambda: np.where(g.random(n) < 0.5, g.normal(-6, 1, n), g.normal(6, 1, n)),
        "with zeros": lambda: np.maximum(np.exp(2 * g.standard_normal(n)) - 0.5, 0),
    }[name]()


@pytest.mark.parametrize(
    ("name", "kinds", "wanted"),
    [
        ("normal", KINDS, Standard),
        ("log-normal", KINDS, Log),
        ("two-sided", KINDS[:4], Asinh),
        ("two humps", KINDS, Quantile),
        ("with zeros", KINDS[:4], Asinh),
    ],
)
def test_the_map_is_chosen_by_held_out_likelihood(name: str, kinds: tuple[str, ...], wanted: type[ColumnMap]) -> None:
    assert isinstance(fit_column(law(name, 4_000), 0.0, kinds), wanted)


def test_a_tie_goes_to_the_simpler_map() -> None:
    for seed in range(20):
        assert isinstance(fit_column(law("normal", 500, seed), 0.0, KINDS), Standard), seed
    x = law("normal", 2_000)
    parts = [held_out(MAPS[kind], x[::2], x[1::2]) for kind in ("standard", "quantile")]
    assert parts[0] is not None
    assert parts[1] is not None
    assert (parts[1] - parts[0]).mean() < GAIN_MIN_NATS


def test_what_does_not_apply_is_passed_over() -> None:
    x = law("two-sided", 300)
    assert Log.fit(x) is None
    assert Quantile.fit(x[:100]) is None
    assert Robust.fit(np.repeat([1.0, 2.0], [90, 10])) is None
    assert isinstance(fit_column(x, 0.0, ("log",)), Standard)
    assert isinstance(fit_column(np.zeros(0), 0.0, KINDS), Standard)


def test_a_constant_gets_a_scale_that_makes_anything_else_far() -> None:
    for value in (0.0, 1e-30, -7.0, 1e30):
        one = fit_column(np.full(50, value), 0.0, KINDS)
        other = value * 1.001 if value else 1e-3
        far, _ = one.forward(np.array([[other]]))
        assert np.isfinite(far)
        assert abs(far) > 100


def test_limits_leave_room_beyond_training() -> None:
    one = Standard(np.zeros(1), np.ones(1))
    columns = [np.array([-1.0, 2.0]), np.array([-20.0, 2.0]), np.array([400.0]), np.zeros(0)]
    assert limits([one] * 4, columns).tolist() == [10.0, 30.0, LIMIT_MAX, 10.0]


@given(st.floats(0, 1e80), st.floats(0, 1e80))
def test_the_price_of_the_tail_only_grows(a: float, b: float) -> None:
    limit = np.array([12.0])
    price = tail_nats(np.array([[a], [b], [-a]]), limit)[:, 0]
    assert np.isfinite(price).all()
    assert price[0] == price[2]
    assert (price[0] > 0) == (a > 12.0 * (1 + 1e-15)) or abs(a - 12) < 1e-9
    if 12.0 < a < b * (1 - 1e-9):
        assert price[0] < price[1]


def test_the_tail_begins_as_a_normal_and_has_no_step() -> None:
    limit = np.array([10.0])
    at = np.array([[10.0], [11.0], [50.0 - 1e-6], [50.0 + 1e-6]])
    price = tail_nats(at, limit)[:, 0]
    assert price[:2].tolist() == [0.0, 10.5]
    assert price[3] - price[2] == pytest.approx(50 * 2e-6, rel=1e-3)
