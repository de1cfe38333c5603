"""False-alarm rates of p-values by slice: the share of slices whose true rate at α lies in [.8, 1.25] α.

A slice's true rate is known, because its scores are drawn from a known form: the probability beyond the limit of its
p-values. Beside it stand all rows together (one limit for all) and the slice's own rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from flowlib.calibration import Calibration
from flowlib.intervals import wilson

Floats = npt.NDArray[np.float64]
ALPHAS = (0.05, 0.01, 0.0025)


@dataclass(frozen=True)
class Scores:
    """Scores of a slice whose difference from the others is b: n of them, and the share beyond a limit."""

    draw: Callable[[np.random.Generator, int, float], Floats]
    beyond: Callable[[float, float], float]


def _share(u: Floats, b: float) -> Floats:
    """Minus logarithms of uniform numbers of which 5 % · exp(b), not 5 %, are below .05; the rest as they were."""
    strange = 0.05 * np.exp(b)
    as_before = np.where(u < strange, u * 0.05 / strange, 0.05 + (u - strange) / (1 - strange) * 0.95)
    return np.asarray(-np.log(as_before), dtype=np.float64)


def _share_beyond(limit: float, b: float) -> float:
    strange, v = 0.05 * np.exp(b), np.exp(-limit)
    return float(v * strange / 0.05 if v < 0.05 else strange + (v - 0.05) / 0.95 * (1 - strange))


FORMS = {
    "scale": Scores(lambda g, n, b: g.exponential(np.exp(b), n), lambda t, b: float(np.exp(-t * np.exp(-b)))),
    "share": Scores(lambda g, n, b: _share(g.random(n), b), _share_beyond),
    "location": Scores(lambda g, n, b: g.normal(b, 1.0, n), lambda t, b: float(norm.sf(t - b))),
    "gaussian scale": Scores(lambda g, n, b: g.normal(0, np.exp(b), n), lambda t, b: float(norm.sf(t * np.exp(-b)))),
    "heavy tail": Scores(
        lambda g, n, b: np.exp(b) * g.standard_t(3, n), lambda t, b: float(student.sf(t * np.exp(-b), 3))
    ),
}
"""What slices differ in: the scale of exponential scores, the share of strange rows, and so on."""


def in_band(ratio: Floats) -> npt.NDArray[np.bool_]:
    return (ratio >= 0.8) & (ratio <= 1.25)


def rates(form: str, spread: float, rows: list[int], seed: int) -> dict[tuple[str, float], Floats]:
    """``(slices,)`` true rates over α, by kind (partially pooled, pooled, own) and α."""
    g, scores = np.random.default_rng(seed), FORMS[form]
    b = g.normal(0.0, spread, len(rows))
    parts = [scores.draw(g, n, float(s)) for n, s in zip(rows, b, strict=True)]
    made = calibrated(np.concatenate(parts), np.repeat(slices(len(rows)), rows))
    everything, found = np.sort(np.concatenate(parts)), {}
    for alpha in ALPHAS:
        limits = {
            "partial": [everything[np.searchsorted(made.scores, made.limit(alpha, s))] for s in slices(len(rows))],
            "pooled": [everything[-int(alpha * (len(everything) + 1))]] * len(rows),
            "own": [np.sort(part)[-max(int(alpha * (len(part) + 1)), 1)] for part in parts],
        }
        for kind, at in limits.items():
            ratio = [scores.beyond(float(t), float(s)) / alpha for t, s in zip(at, b, strict=True)]
            found[kind, alpha] = np.array(ratio)
    return found


def slices(n: int) -> Any:
    return np.array([f"s{i:03}" for i in range(n)], dtype=object)


def calibrated(score: Floats, names: Any) -> Calibration:
    """A calibration whose surprises rank as the scores do."""
    z = np.zeros((len(score), 1), np.float32)
    return Calibration.fit((), -score, score, z, z > 0, names)


def shares(form: str, spread: float, rows: list[int], seeds: int) -> dict[tuple[str, float], tuple[float, float]]:
    """95 % intervals of the share of slices in the band, by kind and α; said aloud for whoever reads the log."""
    runs = [rates(form, spread, rows, seed) for seed in range(seeds)]
    inside = {key: np.concatenate([in_band(run[key]) for run in runs]) for key in runs[0]}
    said = ", ".join(f"{kind} {alpha:g}: {hits.mean():.2f}" for (kind, alpha), hits in inside.items())
    print(f"{form} {spread}, {len(rows)} slices of {rows[0]} to {rows[-1]} rows, seeds 0 to {seeds - 1}: {said}")
    intervals = {key: wilson(int(hits.sum()), len(hits)) for key, hits in inside.items()}
    return {key: (float(low), float(high)) for key, (low, high) in intervals.items()}


def test_slices_alike_are_in_the_band() -> None:
    assert shares("scale", 0.0, [330] * 60, 5)["partial", 0.01][0] >= 0.95


def test_slices_that_differ_are_in_the_band_with_enough_rows_of_their_own() -> None:
    assert shares("scale", 0.3, [14_000] * 60, 2)["partial", 0.01][0] >= 0.95


@pytest.mark.parametrize(("spread", "best"), [(0.1, 0.94), (0.2, 0.74), (0.3, 0.59)])
def test_few_rows_are_used_as_well_as_can_be_without_a_model_of_the_tail(spread: float, best: float) -> None:
    """``best``: logarithms of rates that differ by ``spread``, known from all and 3.3 own rows beyond the level."""
    assert shares("share", spread, [330] * 60, 4)["partial", 0.01][1] >= best


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("rows", [[330] * 60, [4_000] * 5 + [330] * 20 + [20] * 20], ids=len)
@pytest.mark.parametrize("spread", [0.03, 0.3])
def test_it_is_no_worse_than_the_better_of_pooled_and_own(form: str, rows: list[int], spread: float) -> None:
    found = shares(form, spread, rows, 2)
    for alpha in ALPHAS:
        assert found["partial", alpha][1] >= max(found["pooled", alpha][0], found["own", alpha][0]), alpha


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_the_stated_error_is_the_true_one(spread: float) -> None:
    """Of the logarithms of true rates, over what the resolution says."""
    errors = []
    for seed in range(5):
        g = np.random.default_rng(seed)
        b = g.normal(0.0, spread, 60)
        score = (g.exponential(size=(60, 330)) * np.exp(b)[:, None]).ravel()
        made, everything = calibrated(score, np.repeat(slices(60), 330)), np.sort(score)
        for i, name in enumerate(slices(60)):
            limit = everything[np.searchsorted(made.scores, made.limit(0.01, name))]
            errors.append((np.log(100.0) - limit * np.exp(-b[i])) / made.resolution(name, 0.01).error)
    rms = float(np.sqrt(np.mean(np.square(errors))))
    print(f"seeds 0 to 4, spread {spread}: standardised errors of {rms:.2f}, root mean square")
    assert (0.7 if spread else 0.0) <= rms <= 1.4
