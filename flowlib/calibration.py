"""Reference scores on held-out rows → p-values, per slice where there are enough, else pooled and flagged.

``p = (1 + #{reference ≥ score}) / (n + 1)`` (split conformal; Vovk, Gammerman & Shafer, *Algorithmic Learning in a
Random World*, 2005), valid for exchangeable rows, never below its resolution ``1 / (n + 1)``. The score joins negative
log-likelihood and Σz² of the same pass by their ranks among the reference rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PIT_BINS = 20
POOLED = ""
ORDINARY = (0.2, 0.5, 0.8)
"""Quantiles at which a feature's value counts as ordinary."""


@dataclass(frozen=True)
class Calibration:
    """What held-out rows look like to a model.

    Attributes:
        nll, z_sq: ``(n,)`` ascending reference values.
        scores: slice name to ascending joint scores; "" holds all rows together.
        pit_reference: ``(d, 20)`` int64 PIT counts.
        ordinary: ``(3, d)`` 20, 50 and 80 % quantiles of each feature where present, in feature space.
        parts_mean: ``(d + k,)`` nats, what each column adds to the log-likelihood on average.
        log_prob_mean, log_prob_sd: nats.
    """

    nll: Floats
    z_sq: Floats
    scores: dict[str, Floats]
    pit_reference: Ints
    ordinary: Floats
    parts_mean: Floats
    log_prob_mean: float
    log_prob_sd: float

    @classmethod
    def fit(
        cls,
        log_prob: Floats,
        z: npt.NDArray[np.float32],
        missing: Bools,
        slices: npt.NDArray[Any],
        min_alpha: float = 0.01,
        features: npt.NDArray[np.float32] | None = None,
        parts: Floats | None = None,
    ) -> Calibration:
        """Fit on held-out rows, all of them finite.

        Args:
            log_prob: ``(n,)`` nats, n ≥ 1.
            z: ``(n, d)`` base coordinates.
            missing: ``(n, d)``.
            slices: ``(n,)`` names; a slice with at least ``2 / min_alpha`` rows gets its own reference.
            min_alpha: the smallest level per-slice p-values are wanted for.
            features: ``(n, d)`` in feature space; without them ordinary values are taken to be 0.
            parts: ``(n, d + k)`` nats per column; without them their means are taken to be 0.

        Raises:
            ValueError: no rows, or a log_prob that is not finite.
        """
        if not len(log_prob) or not np.isfinite(log_prob).all():
            raise ValueError("calibration needs at least one row, and finite log-likelihoods only")
        z_sq = (z.astype(np.float64) ** 2).sum(axis=1)
        nll_sorted, z_sorted = np.sort(-log_prob), np.sort(z_sq)
        joint = _joint(-log_prob, z_sq, nll_sorted, z_sorted)
        names, counts = np.unique(slices.astype(str), return_counts=True)
        scores = {POOLED: np.sort(joint)}
        for name in names[counts >= 2 / min_alpha].tolist():
            if name != POOLED:
                scores[name] = np.sort(joint[slices.astype(str) == name])
        return cls(
            nll_sorted, z_sorted, scores, pit_histogram(pit_of(z), missing),
            _ordinary(np.zeros_like(z) if features is None else features, missing),
            np.zeros(z.shape[1]) if parts is None else parts.mean(axis=0),
            float(log_prob.mean()), float(log_prob.std()),
        )  # fmt: skip

    def p_values(self, log_prob: Floats, z_sq: Floats, slices: npt.NDArray[Any]) -> tuple[Floats, Bools]:
        """p-values ``(n,)`` and whether each is pooled ``(n,)``; raises ValueError on a value that is not finite."""
        if not np.isfinite(log_prob).all():
            raise ValueError("p-values need finite log-likelihoods")
        joint = _joint(-log_prob, z_sq, self.nll, self.z_sq)
        p, pooled = np.ones(len(joint)), np.ones(len(joint), dtype=bool)
        rows_of: dict[str, list[int]] = {}
        for i, name in enumerate(slices.tolist()):
            rows_of.setdefault(name if name in self.scores else POOLED, []).append(i)
        for name, rows in rows_of.items():
            reference = self.scores[name]
            above = len(reference) - np.searchsorted(reference, joint[rows], side="left")
            p[rows], pooled[rows] = (1 + above) / (len(reference) + 1), name == POOLED
        return p, pooled

    def floor(self, name: str) -> float:
        """The smallest p-value a slice can get."""
        return 1.0 / (len(self.scores.get(name, self.scores[POOLED])) + 1)

    def to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays, for the artifact."""
        names = sorted(self.scores)
        meta = {"slices": names, "log_prob_mean": self.log_prob_mean, "log_prob_sd": self.log_prob_sd}
        arrays = {
            "nll": self.nll,
            "z_sq": self.z_sq,
            "pit_reference": self.pit_reference,
            "ordinary": self.ordinary,
            "parts_mean": self.parts_mean,
        }
        return meta, arrays | {f"scores.{i}": self.scores[name] for i, name in enumerate(names)}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Calibration:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError when the parts do not fit."""
        scores = {str(name): arrays[f"scores.{i}"] for i, name in enumerate(meta["slices"])}
        made = cls(
            arrays["nll"], arrays["z_sq"], scores, arrays["pit_reference"],
            arrays["ordinary"], arrays["parts_mean"],
            float(meta["log_prob_mean"]), float(meta["log_prob_sd"]),
        )  # fmt: skip
        sorted_all = all(
            a.ndim == 1 and len(a) and np.all(a[:-1] <= a[1:]) for a in (made.nll, made.z_sq, *scores.values())
        )
        finite = math.isfinite(made.log_prob_mean) and math.isfinite(made.log_prob_sd)
        d = len(made.pit_reference)
        shaped = made.pit_reference.shape == (d, PIT_BINS) and made.ordinary.shape == (len(ORDINARY), d)
        if POOLED not in scores or not sorted_all or not finite or not shaped or len(made.parts_mean) < d:
            raise ValueError("calibration arrays must be ascending, finite and hold the pooled reference")
        return made


def _ordinary(features: npt.NDArray[np.float32], missing: Bools) -> Floats:
    """``(3, d)`` quantiles of the present values; 0 for a column without any."""
    columns = [features[~missing[:, j], j] for j in range(features.shape[1])]
    made = [np.quantile(column, ORDINARY) if len(column) else np.zeros(len(ORDINARY)) for column in columns]
    return np.array(made, dtype=np.float64).reshape(-1, len(ORDINARY)).T.copy()


def _joint(nll: Floats, z_sq: Floats, nll_reference: Floats, z_reference: Floats) -> Floats:
    """Sum of the two ranks, as shares of the reference at or below the value."""
    rank = np.searchsorted(nll_reference, nll, side="right") / len(nll_reference)
    return np.asarray(rank + np.searchsorted(z_reference, z_sq, side="right") / len(z_reference), dtype=np.float64)


def pit_of(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Φ(z), elementwise."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z.astype(np.float64)), dtype=np.float32)


def pit_histogram(pit: npt.NDArray[np.float32], missing: Bools) -> Ints:
    """``(d, 20)`` counts of present values."""
    bins = np.clip((pit * PIT_BINS).astype(np.int64), 0, PIT_BINS - 1)
    return np.stack([np.bincount(bins[~missing[:, j], j], minlength=PIT_BINS) for j in range(pit.shape[1])])
