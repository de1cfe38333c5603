"""Partial pooling of the tails of many slices: how fast each slice's tail falls beside that of all rows together.

A reference row's *rarity* is minus the logarithm of the share of all reference rows beyond it: exponential over all
rows. A slice's tail is its hazard over that rarity, 1 where the slice is like all together, constant between the levels
½, ¼, … of the slice itself; the ranks there make independent gamma observations of it (Rényi's representation of order
statistics). The logarithms of a slice's hazards are drawn from a normal prior with a constant part (scales that differ)
and one that varies over the levels (an Ornstein–Uhlenbeck process: shapes that differ). How large both are is estimated
on the reference by the marginal likelihood (empirical Bayes; Laplace's approximation), averaged over a grid. Slices
alike come out as all rows together, slices that differ keep what their own rows bear out, level by level. No form of
the scores is assumed: they enter by their ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib import native
from flowlib.table import Coded, Floats, Ints, Objects, Singles

LEVELS = 16
"""Hazards of a slice: one for each halving of its tail, the last one from 2⁻¹⁵ on without end."""

SLICES_MAX = 10_000
"""Slices with a tail of their own, those of the most rows; the others are taken for what all rows together are."""

_ARRAYS = ("rows", "log_hazard", "variance", "between")
_STEP = float(np.log(2.0))
_LOG_HAZARD_MAX = 30.0
_CONSTANT = (0.0, 0.03, 0.06, 0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.1, 1.7)
_VARYING = (0.0, 0.06, 0.12, 0.25, 0.5, 1.0)
"""Standard deviations of the two parts of the prior that are tried."""

_LENGTH = 1.5
"""Over how many nats of rarity the varying part keeps its value."""

_TRIED_ON = 400
"""Slices that the prior is estimated on, at most."""

_WEIGHT_MIN = 0.03
"""Priors of a smaller share of the evidence are left out of the average."""

_SPACED_MIN = 4
"""Ranks beyond a level from which on its hazard is read off the slice's own quantiles."""


@dataclass(frozen=True)
class Tails:
    """Tails of m slices.

    Attributes:
        names: of the slices.
        rows: ``(m,)`` int64, their reference rows.
        log_hazard: ``(m, 16)`` float32, of each slice at each halving of its tail.
        variance: ``(m, 16)`` float32, of the logarithm of its rate beyond each halving, 2⁻¹ to 2⁻¹⁶.
        between: ``(16,)`` float32, the same of slices among each other: of one that was never seen.

    >>> rng = np.random.default_rng(0)
    >>> names = np.repeat(np.array(["low", "high"], dtype=object), 5_000)
    >>> scores = rng.exponential(size=10_000) * np.repeat([1.0, 2.0], 5_000)
    >>> tails = Tails.fit(rarities(scores, rng.random(10_000)), names)
    >>> tails.names, bool(tails.own_weight("high", 0.01) > 0.9), tails.own_weight("other", 0.01)
    (('high', 'low'), True, 0.0)
    """

    names: tuple[str, ...]
    rows: Ints
    log_hazard: Singles
    variance: Singles
    between: Singles

    @classmethod
    def none(cls) -> Tails:
        """Of no slices: every row is compared with all together."""
        empty = np.zeros((0, LEVELS), np.float32)
        return cls((), np.zeros(0, np.int64), empty, empty, np.zeros(LEVELS, np.float32))

    @classmethod
    def fit(cls, rarity: Floats, slices: Objects, unnamed: str = "") -> Tails:
        """Tails of the slices, but the unnamed one, of reference rows: ``rarity (n,)`` as :func:`rarities` gives it."""
        names, codes, counts = np.unique(slices.astype(str), return_inverse=True, return_counts=True)
        if len(names) < 2:
            return cls.none()
        order = np.lexsort((-rarity, codes.ravel()))
        parts = np.split(rarity[order], np.cumsum(counts)[:-1])
        keep = [i for i in np.argsort(-counts, kind="stable").tolist() if names[i] != unnamed][:SLICES_MAX]
        seen = _Seen.of([parts[i] for i in keep])
        log_hazard, variance, between = _pooled(seen)
        by_name = np.argsort(names[keep], kind="stable")
        return cls(
            tuple(names[keep][by_name].tolist()),
            counts[keep][by_name].astype(np.int64),
            log_hazard[by_name].astype(np.float32),
            variance[by_name].astype(np.float32),
            between.astype(np.float32),
        )

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names, 1)}

    @cached_property
    def _hazard(self) -> Floats:
        """``(m + 1, 16)``; the first row is that of all together."""
        return np.asarray(np.exp(np.concatenate([np.zeros((1, LEVELS)), self.log_hazard.astype(np.float64)])))

    @cached_property
    def _edges(self) -> Floats:
        """``(m + 1, 16)`` rarity among all rows at which each halving of a slice begins."""
        widths = _STEP / self._hazard[:, :-1]
        return np.concatenate([np.zeros((len(widths), 1)), np.cumsum(widths, axis=1)], axis=1)

    def codes(self, slices: Objects | Coded) -> Ints:
        """``(n,)`` codes for :meth:`rarity`; 0 is all together."""
        codes = self._codes
        if isinstance(slices, Coded):
            return slices.looked_up(codes, 0)[slices.codes]
        return np.array([codes.get(name, 0) for name in slices.tolist()], dtype=np.int64)

    def rarity(self, rarity: Floats, codes: Ints) -> Floats:
        """``(n,)`` rarities within the slices of rarities among all rows; monotone in them."""
        if native.loops is not None:
            out = np.empty(len(rarity))
            native.loops.within_slices(np.ascontiguousarray(rarity), codes, self._edges, self._hazard, _STEP, out)
            return out
        edges, part = self._edges, np.zeros(len(rarity), dtype=np.int64)
        rows = np.arange(len(rarity))
        for level in range(1, LEVELS):  # about half of the rows are left at each level
            rows = rows[rarity[rows] >= edges[codes[rows], level]]
            if not len(rows):
                break
            part[rows] = level
        return np.asarray(_STEP * part + (rarity - edges[codes, part]) * self._hazard[codes, part])

    def own_weight(self, name: str, alpha: float) -> float:
        """Which share of what is known of a slice's rate at a level its own rows say: 0 (all together) to 1 (own)."""
        between = _at(self.between, alpha)
        own = _at(self.variance[self._codes[name] - 1], alpha) if name in self._codes else between
        return 1.0 - min(own / between, 1.0) if between > 0 else 0.0

    def variance_at(self, name: str, alpha: float) -> float:
        """Of the logarithm of the rate at which events of a slice have p ≤ alpha, while nothing changes."""
        return _at(self.variance[self._codes[name] - 1] if name in self._codes else self.between, alpha)

    def rows_of(self, name: str) -> int:
        """Reference rows of a slice; 0 of one without a tail of its own."""
        return int(self.rows[self._codes[name] - 1]) if name in self._codes else 0

    def mostly_pooled(self, alpha: float) -> npt.NDArray[np.bool_]:
        """``(m + 1,)`` by code: all rows together say more of the rate at a level than the slice's own."""
        return np.array([True, *(self.own_weight(name, alpha) < 0.5 for name in self.names)])

    def to_state(self) -> tuple[list[str], dict[str, npt.NDArray[Any]]]:
        """Names and arrays, for the artifact."""
        return list(self.names), {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_state(cls, names: list[str], arrays: Mapping[str, npt.NDArray[Any]]) -> Tails:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit."""
        tails = cls(tuple(names), *(arrays[name] for name in _ARRAYS))
        tails.check()
        return tails

    def check(self) -> None:
        """Raise ValueError on parts that do not fit each other, or out of bounds."""
        m, singles = len(self.names), (self.log_hazard, self.variance, self.between)
        if m > SLICES_MAX or len(set(self.names)) < m or not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"calibration tails: expected at most {SLICES_MAX} slices, each of them once")
        if [a.shape for a in (self.rows, *singles)] != [(m,), (m, LEVELS), (m, LEVELS), (LEVELS,)]:
            raise ValueError(f"calibration tails: arrays do not fit {m} slices and {LEVELS} levels")
        if self.rows.dtype != np.int64 or any(a.dtype != np.float32 or not np.isfinite(a).all() for a in singles):
            raise ValueError("calibration tails: expected int64 rows and finite float32 arrays")
        bounded = (np.abs(self.log_hazard) <= _LOG_HAZARD_MAX).all() and (self.variance >= 0).all()
        if not bounded or (self.between < 0).any() or (self.rows < 1).any():
            raise ValueError("calibration tails: hazards or variances are out of bounds, or a slice has no rows")


def rarities(scores: Floats, draws: Floats) -> Floats:
    """``(n,)`` rarities of reference rows among each other; equal scores are spread by their draws in (0, 1)."""
    n = len(scores)
    rank = np.empty(n)
    rank[np.lexsort((draws, -scores))] = np.arange(1, n + 1)
    return np.log((n + 0.5) / (rank - 0.5))


def _at(by_level: Singles, alpha: float) -> float:
    """A variance at a level in (0, 1], between those beyond the halvings."""
    levels = _STEP * np.arange(LEVELS + 1)
    return float(np.interp(-np.log(alpha), levels, np.append(0.0, by_level.astype(np.float64))))


@dataclass(frozen=True)
class _Seen:
    """What m slices' rows say of their hazards: ``count`` rows ``(m, 16)`` in ``exposure (m, 16)`` nats of rarity."""

    count: Floats
    exposure: Floats

    @classmethod
    def of(cls, parts: list[Floats]) -> _Seen:
        """Of each slice's rarities, descending."""
        longest = max(map(len, parts)) + 1
        inverse = np.append(0.0, 1.0 / np.arange(1, longest))
        sums, squares = np.cumsum(inverse), np.cumsum(inverse**2)
        rows = [_seen_in(part, sums, squares) for part in parts]
        return cls(*np.stack(rows, axis=1))

    def some(self) -> _Seen:
        """Slices to estimate the prior on: the largest ones, and ever fewer of the smaller ones."""
        m = len(self.count)
        if m <= _TRIED_ON:
            return self
        chosen = np.unique((m * (np.arange(_TRIED_ON) / _TRIED_ON) ** 2).astype(np.int64))
        return _Seen(self.count[chosen], self.exposure[chosen])


def _seen_in(rarity: Floats, sums: Floats, squares: Floats) -> Floats:
    """``(2, 16)`` rows and exposures of one slice.

    Between two ranks a > b the rarity falls by Σ 1/i on average, with variance Σ 1/i², i from b + 1 to a, over the
    hazard; the topmost rows, where ranks are few, give all of their spacings.
    """
    n = len(rarity)
    ranks = np.rint((n + 1) * 0.5 ** np.arange(LEVELS + 1)).astype(np.int64)
    ranks[0] = n
    ranks[-1] = 0
    seen, below = np.zeros((2, LEVELS)), np.append(rarity, 0.0)
    for level, (a, b) in enumerate(zip(ranks[:-1].tolist(), ranks[1:].tolist(), strict=True)):
        if a == 0:
            break
        if b >= _SPACED_MIN:
            length = sums[a] - sums[b]
            count = length**2 / (squares[a] - squares[b])
            seen[:, level] = count, count * (below[b] - below[a]) / length
        else:
            spacings = (below[b:a] - below[b + 1 : a + 1]) * np.arange(b + 1, a + 1)
            seen[:, level] = a - b, spacings.sum()
    return seen


def _pooled(seen: _Seen) -> tuple[Floats, Floats, Floats]:
    """Log-hazards ``(m, 16)``, variances ``(m, 16)`` of log-rates, and those between slices ``(16,)``."""
    some, priors = seen.some(), []
    for constant in _CONSTANT:
        for varying in _VARYING:
            root = _root(constant, varying)
            mean = _mean(some, root) if constant or varying else np.zeros(LEVELS)
            priors.append((_Posterior.of(some, root, mean).evidence.sum(), root, mean))
    evidence = np.array([prior[0] for prior in priors])
    weights = np.exp(evidence - evidence.max())
    weights = np.where(weights < _WEIGHT_MIN * weights.sum(), 0.0, weights)
    weights /= weights.sum()
    m, sums = len(seen.count), np.tril(np.full((LEVELS, LEVELS), _STEP))
    log_hazard, first, second = np.zeros((m, LEVELS)), np.zeros((m, LEVELS)), np.zeros((m, LEVELS))
    between = np.zeros(LEVELS)
    for weight, (_, root, mean) in zip(weights.tolist(), priors, strict=True):
        if weight:
            posterior = _Posterior.of(seen, root, mean)
            rate = posterior.log_hazard @ sums.T
            log_hazard += weight * posterior.log_hazard
            first += weight * rate
            second += weight * (posterior.variance(sums @ root) + rate**2)
            between += weight * ((sums @ root) ** 2).sum(axis=1)
    return np.clip(log_hazard, -_LOG_HAZARD_MAX, _LOG_HAZARD_MAX), np.maximum(second - first**2, 0.0), between


def _root(constant: float, varying: float) -> Floats:
    """``(16, 16)`` lower triangular root of the prior's covariance."""
    at = _STEP * np.arange(LEVELS)
    covariance = constant**2 + varying**2 * np.exp(-np.abs(at[:, None] - at) / _LENGTH)
    return np.asarray(np.linalg.cholesky(covariance + 1e-10 * np.eye(LEVELS)))


def _mean(seen: _Seen, root: Floats) -> Floats:
    """``(16,)`` what slices have in common: where they differ, all together are unlike any of them."""
    mean, spread = np.zeros(LEVELS), (root**2).sum(axis=1)
    for _ in range(3):
        posterior = _Posterior.of(seen, root, mean)
        weight = seen.count * spread / (1.0 + seen.count * spread)
        mean = mean + (weight * (posterior.log_hazard - mean)).sum(axis=0) / (weight.sum(axis=0) + 1.0)
    return mean


@dataclass(frozen=True)
class _Posterior:
    """Log-hazards ``(m, 16)`` at their mode, precision ``(m, 16, 16)`` in the prior's units, log-evidence ``(m,)``."""

    log_hazard: Floats
    precision: Floats
    evidence: Floats

    @classmethod
    def of(cls, seen: _Seen, root: Floats, mean: Floats) -> _Posterior:
        """By Newton's steps, each of one nat at most."""
        units = np.zeros(seen.count.shape)
        for _ in range(20):
            log_hazard, expected, precision = _there(seen, root, mean, units)
            slope = (seen.count - expected) @ root - units
            step = np.linalg.solve(precision, slope[..., None])[..., 0]
            size = np.abs(step @ root.T).max(axis=1)
            units = units + step / np.maximum(size, 1.0)[:, None]
            if size.max() < 1e-4:
                break
        log_hazard, expected, precision = _there(seen, root, mean, units)
        fit = (seen.count * log_hazard - expected).sum(axis=1) - 0.5 * (units**2).sum(axis=1)
        return cls(log_hazard, precision, fit - 0.5 * np.linalg.slogdet(precision)[1])

    def variance(self, root: Floats) -> Floats:
        """``(m, k)`` of k sums whose prior has this root ``(k, 16)``."""
        solved = np.linalg.solve(self.precision, np.broadcast_to(root.T, (len(self.precision), *root.T.shape)))
        return np.asarray(np.einsum("ki,mik->mk", root, solved))


def _there(seen: _Seen, root: Floats, mean: Floats, units: Floats) -> tuple[Floats, Floats, Floats]:
    log_hazard = mean + units @ root.T
    expected = seen.exposure * np.exp(np.minimum(log_hazard, _LOG_HAZARD_MAX))
    return log_hazard, expected, np.eye(LEVELS) + (root.T * expected[:, None, :]) @ root
