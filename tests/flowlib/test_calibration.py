"""Reference scores: what slices make of them, what cannot be restored, and limits that match p-values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.calibration import POOLED, Calibration
from flowlib.margins import Margins
from flowlib.pit import PIT_BINS


def calibration(slices: list[str], seed: int = 0) -> Calibration:
    """Of rows of two columns without gaps."""
    z = np.random.default_rng(seed).standard_normal((len(slices), 2)).astype(np.float32)
    margins = Margins.fit(z)
    log_prob, missing = -0.5 * (z.astype(np.float64) ** 2).sum(axis=1), np.zeros(z.shape, dtype=bool)
    return Calibration.fit((margins,), log_prob, margins.of(z), z, missing, np.array(slices, dtype=object), z)


def test_every_slice_reaches_one_in_all_rows_and_says_what_that_is_worth() -> None:
    made = calibration(["big"] * 1_500 + ["small"] * 499 + [""])
    names = np.array(["big", "small", "never seen"], dtype=object)
    p, pooled = made.p_values(np.full(3, 1e6), names)
    assert p.tolist() == [made.floor(name) for name in names] == [1 / 2_001] * 3
    assert pooled[2]
    big, small, unseen = (made.resolution(name) for name in names)
    assert (big.rows, small.rows, unseen.rows, made.resolution(POOLED).rows) == (1_500, 499, 0, 2_000)
    assert unseen.own_weight == made.resolution(POOLED).own_weight == 0
    assert 0 < big.error <= unseen.error
    assert made.resolution(POOLED).effective_rows == pytest.approx(2_000)
    assert big.smallest == pytest.approx(1 / 2_001, rel=0.5)


def test_the_distance_counts_by_its_weight() -> None:
    z = np.random.default_rng(0).standard_normal((999, 2)).astype(np.float32)
    log_prob, distance, names = -np.abs(z[:, 0]).astype(float), np.abs(z[:, 1]).astype(float), np.full(999, "")
    made = {w: Calibration.fit((), log_prob, distance, z, z > 9, names, weights=(w,)) for w in (0.0, 0.5, 1.0)}
    nll, out = np.array([-0.5, -9.0, -0.5]), np.array([0.1, 0.1, 9.0])
    usual, beyond = made[0.0].surprise(nll, out), made[1.0].surprise(nll, out)
    assert usual[0] == usual[2] < usual[1], "at 0 the likelihood alone ranks"
    assert usual[2] < made[0.5].surprise(nll, out)[2] < beyond[2]
    meta, arrays = made[0.5].to_state()
    np.testing.assert_array_equal(Calibration.from_state(meta, arrays).surprise(nll, out), made[0.5].surprise(nll, out))
    p, _ = made[0.5].p_values(made[0.5].surprise(log_prob, distance), names)
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.01)


def test_models_of_one_distance_as_they_were_stored_first_are_read_and_others_refused() -> None:
    made = calibration(["a"] * 300)
    meta, arrays = made.to_state()
    first = Calibration.from_state(meta | {"weight": 1.0}, arrays | {"distance": arrays["distance"][0]})
    nll, out = np.array([1.0, 9.0]), np.array([0.5, 40.0])
    np.testing.assert_array_equal(first.surprise(-nll, out), made.surprise(-nll, out))
    with pytest.raises(ValueError, match="1 distances with a weight each expected, got 2"):
        Calibration.from_state(meta, arrays | {"distance": np.repeat(arrays["distance"], 2, axis=0)})
    for weight in ([-1.0], [np.inf], [1.0, 1.0]):
        with pytest.raises(ValueError, match="weight"):
            Calibration.from_state(meta | {"weight": weight}, arrays)


def test_a_slice_unlike_the_others_is_its_own() -> None:
    g = np.random.default_rng(0)
    score = np.concatenate([g.exponential(size=5_000), 5 * g.exponential(size=5_000)])
    z, names = np.zeros((10_000, 1), np.float32), np.repeat(np.array(["low", "high"], dtype=object), 5_000)
    made = Calibration.fit((), -score, score, z, z > 0, names)
    fresh = np.concatenate([g.exponential(size=20_000), 5 * g.exponential(size=20_000)])
    p, pooled = made.p_values(made.surprise(-fresh, fresh), np.repeat(np.array(["low", "high"], dtype=object), 20_000))
    assert not pooled.any()
    assert min(made.resolution(name).own_weight for name in ("low", "high")) > 0.5
    for part in (p[:20_000], p[20_000:]):
        assert (part <= 0.01).mean() == pytest.approx(0.01, abs=0.003)
        assert (part <= 0.5).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01, 1 / 401])
@pytest.mark.parametrize("name", ["s", "t", "never seen"])
def test_beyond_the_limit_is_where_the_p_value_is_at_most_alpha(alpha: float, name: str) -> None:
    made = calibration(["s"] * 200 + ["t"] * 200)
    surprise = np.linspace(0, 12, 5_000)
    p, _ = made.p_values(surprise, np.array([name] * len(surprise), dtype=object))
    assert (np.diff(p) <= 0).all()
    assert ((p > 0) & (p <= 1)).all()
    np.testing.assert_array_equal(surprise > made.limit(alpha, name), p <= alpha)


def test_one_slice_is_all_rows_together() -> None:
    made = calibration(["s"] * 199)
    p, pooled = made.p_values(np.array([0.0, 1e6]), np.array(["s", "s"], dtype=object))
    np.testing.assert_allclose(p, [1, 1 / 200])
    assert pooled.all()


def test_a_level_below_the_resolution_flags_beyond_the_largest_row() -> None:
    made = calibration(["s"] * 200)
    assert made.limit(1e-6, "s") == made.scores[-1]


def test_a_p_value_among_equal_scores_is_drawn_between_those_beside_them() -> None:
    score = np.repeat([0.0, 1.0, 2.0], [600, 300, 99])
    z = np.zeros((999, 1), np.float32)
    made = Calibration.fit((), -score, score, z, z > 0, np.full(999, "", dtype=object))
    surprise, names = np.unique(made.scores), np.full(3, "", dtype=object)
    ends = [made.p_values(surprise, names, draw)[0] for draw in (lambda r: np.zeros(len(r)), lambda r: np.ones(len(r)))]
    np.testing.assert_allclose(ends, [[0.4, 0.1, 0.001], [1.0, 0.4, 0.1]])
    np.testing.assert_allclose(made.p_values(surprise, names)[0], [0.7, 0.25, 0.0505])


def test_ten_thousand_slices_fit_into_a_model() -> None:
    z = np.zeros((20_000, 1), np.float32)
    score = np.random.default_rng(0).exponential(size=20_000)
    names = np.array([f"slice {i}" for i in range(10_000)] * 2, dtype=object)
    meta, arrays = Calibration.fit((), -score, score, z, z > 0, names).to_state()
    assert len(meta["slices"]) == 10_000
    assert sum(array.nbytes for array in arrays.values()) + sum(map(len, meta["slices"])) < 3_000_000


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
        ("scores", np.array([1.0, 0.0])),
        ("tails.rows", np.zeros(2, dtype=np.int64)),
        ("tails.rows", np.ones(3, dtype=np.int64)),
        ("tails.log_hazard", np.full((2, 16), 31, dtype=np.float32)),
        ("tails.log_hazard", np.full((2, 16), np.nan, dtype=np.float32)),
        ("tails.log_hazard", np.zeros((2, 16))),
        ("tails.variance", np.full((2, 16), -1, dtype=np.float32)),
        ("tails.between", np.zeros(15, dtype=np.float32)),
        ("pit_reference", np.zeros((2, PIT_BINS + 1), dtype=np.int64)),
        ("ordinary", np.zeros((3, 5))),
        ("parts_mean", np.zeros(1)),
        ("margins.spread", np.zeros(2)),
    ],
)
def test_a_state_that_does_not_fit_is_refused(name: str, value: Any) -> None:
    meta, arrays = calibration(["s"] * 25 + ["t"] * 25).to_state()
    assert name in arrays
    with pytest.raises(ValueError, match=r"calibration|margins"):
        Calibration.from_state(meta, arrays | {name: value})


def test_a_state_with_a_bad_key_or_slices_or_values_that_are_not_finite_is_refused() -> None:
    meta, arrays = calibration(["s"] * 25 + ["t"] * 25).to_state()
    for slices in (["s"], ["s", "s"], ["s", 3]):
        with pytest.raises(ValueError, match="tails"):
            Calibration.from_state(meta | {"slices": slices}, arrays)
    for key in (-1, 1 << 64, "1", 0.5):
        with pytest.raises(ValueError, match="key"):
            Calibration.from_state(meta | {"key": key}, arrays)
    for weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight"):
            Calibration.from_state(meta | {"weight": weight}, arrays)
    with pytest.raises(ValueError, match="finite"):
        Calibration.from_state(meta | {"log_prob_mean": float("nan")}, arrays)
    with pytest.raises(ValueError, match="finite log-likelihoods and distances"):
        calibration(["s"] * 50).surprise(np.array([np.nan]), np.zeros(1))
    with pytest.raises(ValueError, match="at least one row"):
        calibration([])
