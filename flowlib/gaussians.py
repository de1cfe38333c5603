"""How far a row is from the lumps that the rows of a table form: Gaussian mixtures beside the flow.

Where a flow has few rows to learn from, or has stretched to reach those that are wrong, a mixture of Gaussians judges
otherwise, and the two together find more than either (``flowlib/FINDINGS.md``). The density is the mean of
:data:`MIXTURES` mixtures with full covariances in feature space, fitted by expectation maximisation from different
starts: a mixture again, of all their components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from flowlib.surroundings import unshared
from flowlib.table import Floats, Singles

MIXTURES, COMPONENTS = 3, 10
"""Mixtures, and components of each; fewer where a component would have less than :data:`ROWS_A_COLUMN` rows a column.
"""

ROWS_A_COLUMN = 2
RIDGE = 0.02
"""Added to every variance, in squared scale units: no component can shrink onto repeated values or a constant."""

WIDTH_MAX = 256
"""Columns of a table whose covariances are fitted; they grow with the square."""

FIT_ROWS, FIT_WORK = 10_000, 40_000_000
"""Rows that are fitted, a random share of more; and rows by squared columns, which is what a step costs."""

_STEPS = 20
_ROWS, _LANES = 64, 16
"""Matrix products are of one shape, rows by a multiple of lanes, so that a row's result does not depend on those
beside it."""


@dataclass(frozen=True)
class Gaussians:
    """A mixture of m Gaussians in d columns.

    Attributes:
        log_weights: ``(m,)``, of which the exponentials sum to 1.
        means: ``(m, d)``.
        whitening: ``(m, d, d)`` upper triangular, the Cholesky factors of the inverse covariances.

    >>> x = np.random.default_rng(0).standard_normal((1_000, 2)).astype(np.float32)
    >>> gaussians = Gaussians.fit(x, seed=0)
    >>> bool((gaussians.of(x[:5]) < gaussians.of(np.full((1, 2), 6.0, np.float32))).all())
    True
    """

    log_weights: Floats
    means: Floats
    whitening: Floats

    @classmethod
    def fit(cls, features: Singles, seed: int) -> Gaussians:
        """From encoded rows ``(n, d)``, n ≥ 1; the same rows and seed give the same, on any number of threads."""
        from sklearn.exceptions import ConvergenceWarning  # as in flows/mixture.py: who only scores does without
        from sklearn.mixture import GaussianMixture

        most = min(FIT_ROWS, FIT_WORK // features.shape[1] ** 2)
        rows = features[np.random.default_rng(seed).permutation(len(features))[:most]].astype(np.float64)
        rows = rows if len(rows) > 1 else np.repeat(rows, 2, axis=0)  # scikit-learn refuses a single row
        size = min(COMPONENTS, max(1, len(rows) // (ROWS_A_COLUMN * rows.shape[1])))
        with unshared(), warnings.catch_warnings():  # one that has not quite converged is still a mixture
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = [
                GaussianMixture(size, reg_covar=RIDGE, max_iter=_STEPS, random_state=(seed + start) % 2**32).fit(rows)
                for start in range(MIXTURES if size > 1 else 1)
            ]
        weights = np.concatenate([one.weights_ for one in fitted]) / len(fitted)
        kept = weights > 0
        return cls(
            np.log(weights[kept]),
            np.concatenate([one.means_ for one in fitted])[kept],
            np.concatenate([one.precisions_cholesky_ for one in fitted])[kept],
        )

    def of(self, features: Singles) -> Floats:
        """``(n,)`` ≥ 0 nats by which a row is less likely than where all components have their peaks."""
        found = np.empty(len(features))
        padded = np.zeros((_ROWS, self.means.shape[1]))
        for start in range(0, len(features), _ROWS):
            some = features[start : start + _ROWS]
            padded[: len(some)] = some
            found[start : start + _ROWS] = self._of(padded)[: len(some)]
        return found

    def _of(self, rows: Floats) -> Floats:
        parts = self.peaks - 0.5 * self._squares(rows)
        top = parts.max(axis=1)
        total = top + np.log(np.exp(parts - top[:, None]).sum(axis=1))
        return np.asarray(np.maximum(self.peak - total, 0.0))

    def _squares(self, rows: Floats) -> Floats:
        """``(n, m)`` squared distances from the components, each on its own scale."""
        m, d = self.means.shape
        u = (rows @ self._padded)[:, : m * d] + self.bias
        return np.asarray((u * u).reshape(len(rows), m, d).sum(axis=2))

    def slope(self, features: Singles) -> Floats:
        """``(n, d)`` derivatives of :meth:`of`."""
        rows, (m, d) = features.astype(np.float64), self.means.shape
        parts = self.peaks - 0.5 * self._squares(rows)
        shares = np.exp(parts - parts.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        u = (rows @ self.weight + self.bias).reshape(len(rows), m, d)
        return np.asarray(np.einsum("nm,nme,mde->nd", shares, u, self.whitening, optimize=True))

    @cached_property
    def peaks(self) -> Floats:
        """``(m,)`` log-densities of the components at their means, less the constant of all."""
        return np.asarray(self.log_weights + np.log(np.diagonal(self.whitening, axis1=1, axis2=2)).sum(axis=1))

    @cached_property
    def peak(self) -> float:
        """Logarithm of the sum of the peaks."""
        return float(np.logaddexp.reduce(self.peaks))

    @cached_property
    def weight(self) -> Floats:
        """``(d, m·d)``: rows by it, and :attr:`bias` more, are each component's coordinates."""
        m, d = self.means.shape
        return np.ascontiguousarray(self.whitening.transpose(1, 0, 2).reshape(d, m * d))

    @cached_property
    def bias(self) -> Floats:
        """``(m·d,)``."""
        return np.asarray(-np.einsum("md,mde->me", self.means, self.whitening).reshape(-1))

    @cached_property
    def _padded(self) -> Floats:
        return np.pad(self.weight, ((0, 0), (0, -self.weight.shape[1] % _LANES)))

    def to_state(self) -> dict[str, Floats]:
        """Arrays, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, arrays: dict[str, Floats]) -> Gaussians:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit."""
        gaussians = cls(*(arrays[field.name] for field in fields(cls)))
        m, d = gaussians.means.shape
        parts = gaussians.to_state()
        if gaussians.log_weights.shape != (m,) or gaussians.whitening.shape != (m, d, d) or not m:
            raise ValueError("gaussians: one weight, mean and triangle a component expected")
        if any(a.dtype != np.float64 or not np.isfinite(a).all() for a in parts.values()):
            raise ValueError("gaussians: parts must be finite float64")
        if not (np.diagonal(gaussians.whitening, axis1=1, axis2=2) > 0).all():
            raise ValueError("gaussians: the diagonals of the triangles must be positive")
        return gaussians
