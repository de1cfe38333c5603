"""Values for people: whole numbers that add up, and what is usual of them by slice and hour, in the columns' units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from flowlib.reference.reference import Reference
from flowlib.reference.values import VALUE_MOST, VALUE_UNIT, fit_values, profile_between, value_counts
from tests.flowlib.reference.worlds import PANE_MS, START_MS, held_out

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ANY = st.floats(allow_nan=True, allow_infinity=True)


def fitted(numeric: Any, time_ms: Any, code: Any, s: int, zone: str = "UTC") -> dict[str, Any]:
    d = numeric.shape[1]
    return fit_values(numeric, time_ms, code, s, zone, np.ones((s + 1, d)), np.ones(d))


def daily(days: int, seed: int) -> tuple[Any, Any, Any]:
    """Two slices ten degrees apart, an event of each every hour, warmer by up to four at noon in Shanghai."""
    hours = np.arange(days * 24)
    time_ms = START_MS - START_MS % DAY_MS + np.repeat(hours, 2) * HOUR_MS
    code = np.tile([0, 1], len(hours))
    local = (np.repeat(hours, 2) + 8) % 24
    wave = 4.0 * np.cos(2 * np.pi * (local - 12) / 24)
    noise = np.random.default_rng(seed).standard_normal(len(code))
    return (15.0 + 10.0 * code + wave + noise)[:, None], time_ms, code


@given(hn.arrays(np.float64, (5, 2), elements=ANY), st.floats(-1e38, 1e38), st.floats(1e-290, 1e38))
def test_any_value_is_a_whole_number_within_bounds(numeric: Any, centre: float, scale: float) -> None:
    counts = value_counts(numeric, np.full(2, centre), np.full(2, scale))
    assert counts.dtype == np.int64
    assert np.abs(counts).max() <= VALUE_MOST * VALUE_UNIT
    assert (counts[np.isnan(numeric)] == 0).all()


def test_sums_of_counts_are_those_of_values() -> None:
    reference = held_out(slices=4, gaps=0.1).reference()
    numeric = np.random.default_rng(3).normal(5.0, 3.0, (500, 2))
    numeric[::7, 1] = np.nan
    counts = value_counts(numeric, reference.value_centre, reference.value_scale)
    sums = reference.value_sums(counts.sum(axis=0), (~np.isnan(numeric)).sum(axis=0))
    assert sums == pytest.approx(np.nansum(numeric, axis=0), abs=500 * reference.value_scale.max() / VALUE_UNIT)


def test_what_is_usual_is_that_of_the_slice_and_hour_in_the_columns_own_units() -> None:
    numeric, time_ms, code = daily(60, 1)
    figures = fitted(numeric, time_ms, code, 2, "Asia/Shanghai")
    centre, scale = figures["value_centre"], figures["value_scale"]
    means = centre + scale * figures["value_mean"]
    assert means[1:, 0] == pytest.approx([15.0, 25.0], abs=0.3)
    assert 15.0 < means[0, 0] < 25.0
    assert (scale * figures["value_sd"])[1:, 0] == pytest.approx(np.full(2, np.sqrt(8 + 1)), rel=0.1)
    profile = (scale * figures["value_profile"])[:, 0]
    assert profile == pytest.approx(4.0 * np.cos(2 * np.pi * (np.arange(24) - 12) / 24), abs=0.4)
    assert abs(profile.mean()) < 0.02


def test_hours_that_do_not_differ_have_no_profile() -> None:
    _, time_ms, code = daily(30, 1)
    noise = np.random.default_rng(2).standard_normal((len(code), 1))
    figures = fitted(noise, time_ms, code, 2)
    assert np.abs(figures["value_profile"]).max() < 0.25


def test_slices_of_few_rows_lean_on_the_others() -> None:
    rng = np.random.default_rng(4)
    code = np.concatenate([np.repeat(np.arange(20), 200), np.full(3, 20)])
    numeric = 10.0 + rng.standard_normal((len(code), 1))
    numeric[-3:] += 2.0
    figures = fitted(numeric, START_MS + np.arange(len(code)) * HOUR_MS, code, 21)
    own = numeric[-3:].mean()
    assert figures["value_centre"] + figures["value_scale"] * figures["value_mean"][21] < own - 0.5


@pytest.mark.parametrize(
    "column",
    [
        np.full(100, np.nan),
        np.full(100, 7.0),
        np.zeros(100),
        np.concatenate([np.zeros(99), [1e9]]),
        np.concatenate([np.arange(99.0), [3.4e38]]),
        np.linspace(-3.4e38, 3.4e38, 100),
        np.arange(100) * 1e-300,
        1.7e12 + np.arange(100.0),
    ],
)
def test_figures_are_finite_and_spreads_positive_whatever_the_column(column: Any) -> None:
    time_ms = START_MS + np.arange(100) * HOUR_MS
    figures = fitted(column[:, None], time_ms, np.arange(100) % 3 - 1, 2)
    assert all(np.isfinite(part).all() for part in figures.values())
    assert (figures["value_scale"] > 0).all()
    assert (figures["value_sd"] > 0).all()


def test_values_beside_many_that_are_next_to_alike_are_counted_whole() -> None:
    rng = np.random.default_rng(5)
    column = np.where(rng.random(1_000) < 0.8, 1e-9 * rng.standard_normal(1_000), rng.uniform(1, 10, 1_000))[:, None]
    figures = fitted(column, START_MS + np.arange(1_000) * HOUR_MS, np.zeros(1_000, dtype=np.int64), 1)
    mean = figures["value_centre"] + figures["value_scale"] * figures["value_mean"][1]
    assert mean == pytest.approx(column.mean(axis=0), rel=0.01)


def test_an_offset_costs_no_digits() -> None:
    column = 1.7e12 + np.random.default_rng(0).standard_normal((400, 1))
    figures = fitted(column, START_MS + np.arange(400) * HOUR_MS, np.zeros(400, dtype=np.int64), 1)
    mean = (figures["value_centre"] + figures["value_scale"] * figures["value_mean"][1])[0]
    assert mean == pytest.approx(column.mean(), abs=0.01)
    assert 0.8 < figures["value_scale"][0] < 1.2


def test_a_pane_is_expected_the_mean_over_its_hours() -> None:
    reference = _with_profile(np.arange(24.0)[:, None] - 11.5)
    start = np.array([0, 6 * HOUR_MS, 22 * HOUR_MS + HOUR_MS // 2])
    length = np.array([DAY_MS, HOUR_MS, 2 * HOUR_MS])
    known = np.array([1, 0, 1])
    expected = reference.expected_value(known, start, start + length)
    base = reference.value_centre + reference.value_scale * reference.value_mean[known]
    added = np.array([0.0, 6.0 - 11.5, (0.5 * 22 + 23 + 0.5 * 0) / 2 - 11.5])
    assert expected == pytest.approx(base + reference.value_scale * added[:, None])
    one = reference.expected_value(known, 6 * HOUR_MS, 7 * HOUR_MS)
    assert one[1] == pytest.approx(expected[1])
    assert reference.expected_sd(known) == pytest.approx(reference.value_sd[known] * reference.value_scale)


def _with_profile(profile: Any) -> Reference:
    reference = held_out(slices=3).reference()
    return replace(reference, value_profile=np.repeat(profile, len(reference.value_centre), axis=1))


@given(st.integers(0, 30 * DAY_MS), st.integers(1_000, 3 * DAY_MS))
def test_the_mean_over_a_span_is_that_of_its_parts(start: int, length: int) -> None:
    profile = np.random.default_rng(0).standard_normal((24, 2))
    first = length // 3 + 1
    whole = profile_between(profile, np.array([start]), np.array([length])) * length
    parts = profile_between(profile, np.array([start, start + first]), np.array([first, length - first]))
    assert whole[0] == pytest.approx(parts[0] * first + parts[1] * (length - first), abs=1e-3)


def test_the_rows_of_a_reference_and_its_slicings_share_centre_and_scale() -> None:
    held = held_out(slices=5, panes=48)
    reference = held.reference()
    assert reference.value_mean.shape == (6, 2)
    assert reference.value_profile.shape == (24, 2)
    spans = reference.expected_value(np.arange(6), START_MS, START_MS + PANE_MS)
    assert np.isfinite(spans).all()
