"""Reference scores: which slices have one of their own, what cannot be restored, and limits that match p-values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.calibration import PIT_BINS, POOLED, SLICE_ROWS_MIN, Calibration
from flowlib.margins import Margins


def calibration(slices: list[str], seed: int = 0) -> Calibration:
    """Of rows of two columns without gaps."""
    z = np.random.default_rng(seed).standard_normal((len(slices), 2)).astype(np.float32)
    margins = Margins.fit(z)
    log_prob, missing = -0.5 * (z.astype(np.float64) ** 2).sum(axis=1), np.zeros(z.shape, dtype=bool)
    return Calibration.fit(margins, log_prob, margins.of(z), z, missing, np.array(slices, dtype=object), z)


def test_a_slice_has_its_own_reference_from_two_hundred_rows_on() -> None:
    made = calibration(["big"] * SLICE_ROWS_MIN + ["small"] * (SLICE_ROWS_MIN - 1))
    assert SLICE_ROWS_MIN == 200
    assert set(made.scores) == {POOLED, "big"}
    assert made.floor("big") == pytest.approx(1 / 201)
    assert made.floor("small") == made.floor("never seen") == pytest.approx(1 / 400)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01, 1 / 201])
def test_beyond_the_limit_is_where_the_p_value_is_at_most_alpha(alpha: float) -> None:
    made = calibration(["s"] * 200)
    surprise = np.linspace(0, 12, 5_000)
    p, pooled = made.p_values(surprise, np.array(["s"] * len(surprise), dtype=object))
    assert not pooled.any()
    assert (np.diff(p) <= 0).all()
    np.testing.assert_array_equal(surprise > made.limit(alpha, "s"), p <= alpha)


def test_a_level_below_the_resolution_flags_beyond_the_largest_row() -> None:
    made = calibration(["s"] * 200)
    assert made.limit(1e-6, "s") == made.scores["s"][-1]


def test_the_state_goes_round() -> None:
    made = calibration(["big"] * 300 + ["small"] * 20)
    again = Calibration.from_state(*made.to_state())
    rows = np.linspace(0, 9, 100)
    names = np.array(["big", "small"] * 50, dtype=object)
    for ours, theirs in zip(made.p_values(rows, names), again.p_values(rows, names), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (again.log_prob_mean, again.log_prob_sd) == (made.log_prob_mean, made.log_prob_sd)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nll", np.array([2.0, 1.0])),
        ("distance", np.zeros(0)),
        ("scores.0", np.array([1.0, 0.0])),
        ("pit_reference", np.zeros((2, PIT_BINS + 1), dtype=np.int64)),
        ("ordinary", np.zeros((3, 5))),
        ("parts_mean", np.zeros(1)),
        ("margins.spread", np.zeros(2)),
    ],
)
def test_a_state_that_does_not_fit_is_refused(name: str, value: Any) -> None:
    meta, arrays = calibration(["s"] * 50).to_state()
    assert name in arrays
    with pytest.raises(ValueError, match=r"calibration|margins"):
        Calibration.from_state(meta, arrays | {name: value})


def test_without_a_pooled_reference_or_with_values_that_are_not_finite_it_is_refused() -> None:
    meta, arrays = calibration(["s"] * 50).to_state()
    with pytest.raises(ValueError, match="pooled reference"):
        Calibration.from_state(meta | {"slices": ["s"]}, arrays)
    with pytest.raises(ValueError, match="finite"):
        Calibration.from_state(meta | {"log_prob_mean": float("nan")}, arrays)
    with pytest.raises(ValueError, match="finite log-likelihoods and distances"):
        calibration(["s"] * 50).surprise(np.array([np.nan]), np.zeros(1))
    with pytest.raises(ValueError, match="at least one row"):
        calibration([])
