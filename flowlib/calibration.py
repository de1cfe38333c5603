"""Reference scores of held-out rows → p-values, per slice where a slice has enough of them, else pooled.

``p = (1 + #{reference ≥ score}) / (n + 1)``, valid for exchangeable rows (split conformal; Vovk, Gammerman & Shafer,
*Algorithmic Learning in a Random World*, 2005). The score, called surprise, is ``√(s(nll)² + s(distance)²)``: s is
minus the logarithm of the share of reference rows at or beyond a value, nll the negative log-likelihood, the distance
one of:

- ``columns``: :mod:`flowlib.margins`, less the log-probability of each category. No training changes it: it also finds
  anomalies that were among the training rows.
- ``base``: Σz². It follows the model: what has become ordinary for good is ordinary after training.

Beyond the largest reference value s grows with the logarithm of the excess, so that rows there still rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from flowlib.margins import Margins
from flowlib.table import Bools, Floats, Ints, Objects, Singles

PIT_BINS = 20
"""Bins of a PIT histogram."""

POOLED = ""
"""Name of the reference that holds all rows."""

SLICE_ROWS_MIN = 200
"""A slice with at least so many reference rows has a reference of its own, whatever level α its p-values are compared
with: where α is below 1 / (rows + 1) none of its events can be flagged."""

ORDINARY = (0.2, 0.5, 0.8)
"""Quantiles at which a feature's value counts as ordinary."""


@dataclass(frozen=True)
class Calibration:
    """What held-out rows look like to a model.

    Attributes:
        margins: scales of the columns where the distance is ``columns``, None where it is ``base``.
        nll, distance: ``(n,)`` ascending reference values.
        scores: slice name to ascending surprises; :data:`POOLED` holds all rows.
        pit_reference: ``(d, 20)`` int64 PIT counts.
        ordinary: ``(3, d)`` 20, 50 and 80 % quantiles of each feature where present, in feature space.
        parts_mean: ``(d + k,)`` nats, mean of each column's part of the log-likelihood.
        log_prob_mean, log_prob_sd: nats.

    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((999, 2)).astype(np.float32)
    >>> log_prob, distance = -0.5 * (z**2).sum(axis=1), (z**2).sum(axis=1)
    >>> reference = Calibration.fit(None, log_prob, distance, z, np.isnan(z), np.full(999, ""))
    >>> surprise = reference.surprise(np.array([-0.1, -50.0]), np.array([0.2, 100.0]))
    >>> p_value, pooled = reference.p_values(surprise, np.array(["", ""]))
    >>> p_value.round(3)
    array([0.912, 0.001])
    """

    margins: Margins | None
    nll: Floats
    distance: Floats
    scores: dict[str, Floats]
    pit_reference: Ints
    ordinary: Floats
    parts_mean: Floats
    log_prob_mean: float
    log_prob_sd: float

    @classmethod
    def fit(
        cls,
        margins: Margins | None,
        log_prob: Floats,
        distance: Floats,
        z: Singles,
        missing: Bools,
        slices: Objects,
        features: Singles | None = None,
        parts: Floats | None = None,
    ) -> Calibration:
        """Fit on held-out rows, all of them finite.

        Args:
            margins: what ``distance`` comes from; None for the base.
            log_prob: ``(n,)`` nats, n ≥ 1.
            distance: ``(n,)`` ≥ 0.
            z: ``(n, d)`` base coordinates.
            missing: ``(n, d)``.
            slices: ``(n,)`` names; see :data:`SLICE_ROWS_MIN`.
            features: ``(n, d)`` in feature space; without them ordinary values are 0.
            parts: ``(n, d + k)`` nats; without them their means are 0.

        Raises:
            ValueError: no rows, or a log_prob that is not finite.
        """
        if not len(log_prob) or not np.isfinite(log_prob).all():
            raise ValueError("calibration needs at least one row, and finite log-likelihoods only")
        nll_sorted, distance_sorted = np.sort(-log_prob), np.sort(distance)
        joint = np.hypot(_own_rarity(-log_prob, nll_sorted), _own_rarity(distance, distance_sorted))
        names, counts = np.unique(slices.astype(str), return_counts=True)
        scores = {POOLED: np.sort(joint)}
        for name in names[counts >= SLICE_ROWS_MIN].tolist():
            if name != POOLED:
                scores[name] = np.sort(joint[slices.astype(str) == name])
        return cls(
            margins,
            nll_sorted,
            distance_sorted,
            scores,
            pit_histogram(pit_of(z), missing),
            _ordinary(np.zeros_like(z) if features is None else features, missing),
            np.zeros(z.shape[1]) if parts is None else parts.mean(axis=0),
            float(log_prob.mean()),
            float(log_prob.std()),
        )

    def surprise(self, log_prob: Floats, distance: Floats) -> Floats:
        """``(n,)`` ≥ 0, larger is stranger; raises ValueError on a value that is not finite."""
        if not (np.isfinite(log_prob).all() and np.isfinite(distance).all()):
            raise ValueError("p-values need finite log-likelihoods and distances")
        return np.asarray(np.hypot(_rarity(-log_prob, self.nll), _rarity(distance, self.distance)), dtype=np.float64)

    def p_values(self, surprise: Floats, slices: Objects) -> tuple[Floats, Bools]:
        """p-values ``(n,)`` of surprises, and whether each is against the pooled reference ``(n,)``."""
        references = self._references
        codes = np.array([references.codes.get(name, 0) for name in slices.tolist()], dtype=np.int64)
        size = references.ends[codes] - np.append(0, references.ends)[codes]
        return (1 + references.above(codes, surprise)) / (size + 1), codes == 0

    @cached_property
    def _references(self) -> _References:
        return _References.of(self.scores)

    def limit(self, alpha: float, name: str = POOLED) -> float:
        """The surprise above which a row of a slice has p ≤ alpha, or its smallest p-value where that is larger."""
        reference = self.scores.get(name, self.scores[POOLED])
        return float(reference[-max(int(alpha * (len(reference) + 1)), 1)])

    def floor(self, name: str) -> float:
        """The smallest p-value of a slice."""
        return 1.0 / (len(self.scores.get(name, self.scores[POOLED])) + 1)

    def to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays, for the artifact."""
        names = sorted(self.scores)
        meta = {"slices": names, "log_prob_mean": self.log_prob_mean, "log_prob_sd": self.log_prob_sd}
        arrays = {
            "nll": self.nll,
            "distance": self.distance,
            "pit_reference": self.pit_reference,
            "ordinary": self.ordinary,
            "parts_mean": self.parts_mean,
        }
        if self.margins is not None:
            arrays |= {f"margins.{name}": values for name, values in self.margins.to_state().items()}
        return meta, arrays | {f"scores.{i}": self.scores[name] for i, name in enumerate(names)}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Calibration:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit."""
        scores = {str(name): arrays[f"scores.{i}"] for i, name in enumerate(meta["slices"])}
        margins = {name.removeprefix("margins."): a for name, a in arrays.items() if name.startswith("margins.")}
        calibration = cls(
            Margins.from_state(margins) if margins else None,
            arrays["nll"],
            arrays["distance"],
            scores,
            arrays["pit_reference"],
            arrays["ordinary"],
            arrays["parts_mean"],
            float(meta["log_prob_mean"]),
            float(meta["log_prob_sd"]),
        )
        calibration._check()
        return calibration

    def _check(self) -> None:
        ascending = all(
            a.ndim == 1 and len(a) and np.all(a[:-1] <= a[1:]) for a in (self.nll, self.distance, *self.scores.values())
        )
        finite = math.isfinite(self.log_prob_mean) and math.isfinite(self.log_prob_sd)
        d = len(self.pit_reference)
        shaped = self.pit_reference.shape == (d, PIT_BINS) and self.ordinary.shape == (len(ORDINARY), d)
        if POOLED not in self.scores or not ascending or not finite or not shaped or len(self.parts_mean) < d:
            raise ValueError("calibration arrays must be ascending, finite and hold the pooled reference")


@dataclass(frozen=True)
class _References:
    """Scores of all m slices in one array, to look up rows of many slices at once.

    Attributes:
        codes: slice name to code, 0 for the pooled reference.
        ends: ``(m,)`` where each slice's scores end.
        values: ``(n,)`` all scores, ascending.
        keys: ``(n,)`` ascending; ``code · (n + 1) + rank`` among the scores of all slices.
    """

    codes: dict[str, int]
    ends: Ints
    values: Floats
    keys: Ints

    @classmethod
    def of(cls, scores: dict[str, Floats]) -> _References:
        names = [POOLED, *(name for name in scores if name != POOLED)]
        lengths = np.array([len(scores[name]) for name in names], dtype=np.int64)
        joined = np.concatenate([scores[name] for name in names])
        values = np.sort(joined)
        places = np.repeat(np.arange(len(names)), lengths)
        return cls(
            {name: i for i, name in enumerate(names)},
            np.cumsum(lengths),
            values,
            places * (len(values) + 1) + np.searchsorted(values, joined, side="left"),
        )

    def above(self, codes: Ints, scores: Floats) -> Ints:
        """``(n,)`` scores of a slice that are not below each given one."""
        ranks = np.searchsorted(self.values, scores, side="left")
        places = np.searchsorted(self.keys, codes * (len(self.values) + 1) + ranks, side="left")
        return np.asarray(self.ends[codes] - places, dtype=np.int64)


def _ordinary(features: Singles, missing: Bools) -> Floats:
    """``(3, d)`` quantiles of the present values; 0 for a column without any."""
    columns = [features[~missing[:, j], j] for j in range(features.shape[1])]
    quantiles = [np.quantile(column, ORDINARY) if len(column) else np.zeros(len(ORDINARY)) for column in columns]
    return np.array(quantiles, dtype=np.float64).reshape(-1, len(ORDINARY)).T.copy()


def _rarity(values: Floats, reference: Floats) -> Floats:
    """Minus the logarithm of the share of the reference above each value, itself counted in.

    Beyond the largest value it grows by log(1 + excess), the excess in units of largest less median.
    """
    n = len(reference)
    above = n - np.searchsorted(reference, values, side="right")
    span = float(reference[-1] - reference[n // 2])
    excess = np.maximum(values - reference[-1], 0.0) / (span if span > 0 else 1.0)
    return np.asarray(np.log1p(excess) - np.log((1 + above) / (n + 1)), dtype=np.float64)


def _own_rarity(values: Floats, reference: Floats) -> Floats:
    """Rarity of the reference rows themselves; the largest is measured against the others, as a new row would be."""
    rarity = _rarity(values, reference)
    if len(reference) > 1:
        largest = values == reference[-1]
        beyond = _rarity(reference[-1:], reference[:-1]) - _rarity(reference[-2:-1], reference[:-1])
        rarity[largest] += beyond
    return rarity


def pit_of(z: Singles) -> Singles:
    """Φ(z), elementwise."""
    return np.asarray(ndtr(z.astype(np.float64)), dtype=np.float32)


def pit_histogram(pit: Singles, missing: Bools) -> Ints:
    """``(d, 20)`` counts of present values."""
    bins = np.clip((pit * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)
    return np.stack([np.bincount(bins[~missing[:, j], j], minlength=PIT_BINS) for j in range(pit.shape[1])])
