"""Reference scores of held-out rows → p-values: the share of all rows that is stranger, then what a slice makes of it.

Among all n rows ``p = (1 + #{reference > score} + U · #{reference = score}) / (n + 1)``, valid for exchangeable rows
(split conformal, smoothed; Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random World*, 2005): U is ½, or drawn
by :mod:`flowlib.ties` from the row and a recorded key, so that discrete data have uniform p too. A score that reference
rows share is never rarer than the rows beyond it. The p-value within a slice follows from it by
:mod:`flowlib.pooling`, as far as slices differ.

The score, called surprise, is ``√(s(nll)² + Σ (w · s(distance))²)``: s is minus the logarithm of the share of
reference rows at or beyond a value, nll the negative log-likelihood, w a distance's weight. The distances are those of:

- ``columns``: :mod:`flowlib.margins`, less the log-probability of each category. No training changes it: it also finds
  anomalies that were among the training rows.
- ``mixture``: two, that of :mod:`flowlib.gaussians` and that of the columns; see :mod:`flowlib.beside`.
- ``base``: Σz². It follows the model: what has become ordinary for good is ordinary after training.

Beyond the largest reference value s grows with the logarithm of the excess, so that rows there still rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib import native
from flowlib.beside import Beside, arrays_of, beside_of, width
from flowlib.ladder import Ladders
from flowlib.pit import PIT_BINS, pit_histogram, pit_of
from flowlib.pooling import Tails, rarities
from flowlib.rarity import Rarities, own_rarity
from flowlib.table import Bools, Coded, Floats, Ints, Objects, Singles
from flowlib.ties import MIDDLE

POOLED = ""
"""Name of all rows together."""

ALPHA = 0.01
"""Level at which a slice counts as pooled or not."""

Draw = Callable[[Ints], Floats]
"""Numbers in (0, 1) for the rows of these indices; for those that tie with reference rows."""

ORDINARY = (0.2, 0.5, 0.8)
"""Quantiles at which a feature's value counts as ordinary."""


@dataclass(frozen=True)
class Calibration:
    """What held-out rows look like to a model.

    Attributes:
        beside: what the distances come from; empty for the base.
        nll: ``(n,)`` ascending reference values.
        distance: ``(p, n)``, ascending too, one row for each of ``beside``, or for the base.
        scores: ``(n,)`` ascending surprises of all rows.
        tails: of the slices.
        pit_reference: ``(d, 20)`` int64 PIT counts.
        ordinary: ``(3, d)`` 20, 50 and 80 % quantiles of each feature where present, in feature space.
        parts_mean: ``(d + k,)`` nats, mean of each column's part of the log-likelihood.
        log_prob_mean, log_prob_sd: nats.
        key: of the draws among equal scores; :data:`~flowlib.ties.MIDDLE` for none.
        weights: ``(p,)`` of the distances beside the likelihood, ≥ 0.

    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((999, 2)).astype(np.float32)
    >>> log_prob, distance = -0.5 * (z**2).sum(axis=1), (z**2).sum(axis=1)
    >>> reference = Calibration.fit((), log_prob, distance, z, np.isnan(z), np.full(999, ""))
    >>> surprise = reference.surprise(np.array([-0.1, -50.0]), np.array([0.2, 100.0]))
    >>> p_value, pooled = reference.p_values(surprise, np.array(["", ""]))
    >>> p_value.round(3)
    array([0.911, 0.001])
    """

    beside: Beside
    nll: Floats
    distance: Floats
    scores: Floats
    tails: Tails
    pit_reference: Ints
    ordinary: Floats
    parts_mean: Floats
    log_prob_mean: float
    log_prob_sd: float
    key: int
    weights: Floats

    @classmethod
    def fit(
        cls,
        beside: Beside,
        log_prob: Floats,
        distance: Floats,
        z: Singles,
        missing: Bools,
        slices: Objects,
        features: Singles | None = None,
        parts: Floats | None = None,
        draws: Floats | None = None,
        key: int = MIDDLE,
        weights: Sequence[float] | Floats = (1.0,),
    ) -> Calibration:
        """Fit on held-out rows, all of them finite.

        Args:
            beside: what ``distance`` comes from.
            log_prob: ``(n,)`` nats, n ≥ 1.
            distance: ``(n, p)`` ≥ 0, or ``(n,)`` of one.
            z: ``(n, d)`` base coordinates.
            missing: ``(n, d)``.
            slices: ``(n,)`` names.
            features: ``(n, d)`` in feature space; without them ordinary values are 0.
            parts: ``(n, d + k)`` nats; without them their means are 0.
            draws: ``(n,)`` in (0, 1) that spread equal scores; without them they are spread by their order.
            key: that they were drawn with.
            weights: ``(p,)`` of the distances beside the likelihood.

        Raises:
            ValueError: no rows, or a log_prob that is not finite.
        """
        if not len(log_prob) or not np.isfinite(log_prob).all():
            raise ValueError("calibration needs at least one row, and finite log-likelihoods only")
        distance, weights = distance.reshape(len(log_prob), -1), np.array(weights, dtype=np.float64)
        nll_sorted, distance_sorted = np.sort(-log_prob), np.sort(distance.T)
        joint = own_rarity(-log_prob, nll_sorted)
        for values, among, weight in zip(distance.T, distance_sorted, weights, strict=True):
            joint = np.hypot(joint, weight * own_rarity(values, among))
        spread = (np.arange(len(joint)) + 0.5) / len(joint) if draws is None else draws
        return cls(
            beside,
            nll_sorted,
            distance_sorted,
            np.sort(joint),
            Tails.fit(rarities(joint, spread), slices, POOLED),
            pit_histogram(pit_of(z), missing),
            _ordinary(np.zeros_like(z) if features is None else features, missing),
            np.zeros(z.shape[1]) if parts is None else parts.mean(axis=0),
            float(log_prob.mean()),
            float(log_prob.std()),
            key,
            weights,
        )

    def surprise(self, log_prob: Floats, distance: Floats) -> Floats:
        """``(n,)`` ≥ 0 of ``(n,)`` and ``(n, p)``, larger is stranger; raises ValueError on one that is not finite."""
        joint, each = self._nll.of(log_prob, -1.0), distance.reshape(-1, len(self.weights)).T
        for values, among, weight in zip(each, self._distance, self.weights, strict=True):
            joint = np.hypot(joint, weight * among.of(values))
        return joint

    @property
    def widths(self) -> list[int]:
        """Columns of each of its parts that has any."""
        return [len(self.pit_reference), *map(width, self.beside)]

    @cached_property
    def _nll(self) -> Rarities:
        return Rarities.among(self.nll)

    @cached_property
    def _distance(self) -> list[Rarities]:
        return [Rarities.among(reference) for reference in self.distance]

    def p_values(self, surprise: Floats, slices: Objects | Coded, draw: Draw | None = None) -> tuple[Floats, Bools]:
        """p-values ``(n,)`` of surprises, monotone in them, and where all rows together say more than the slice's own
        ``(n,)``; ties are drawn where ``draw`` is given, else their middle is taken.
        """
        codes = self.tails.codes(slices)
        return self._p(surprise, codes, draw), self._mostly_pooled[codes]

    def _p(self, surprise: Floats, codes: Ints, draw: Draw | None = None) -> Floats:
        rarity = self.tails.rarity(self._rarity(surprise, draw), codes)
        # Back from the logarithm a share of the rows may come out an ulp larger than it is.
        return np.maximum(np.exp(-rarity) * (1.0 - 1e-12), self.floor())

    def _rarity(self, surprise: Floats, draw: Draw | None) -> Floats:
        """``(n,)`` minus the logarithm of the p-value among all rows, growing on beyond the largest of them."""
        n, scores = len(self.scores), self.scores
        rarity, beyond, tied, below, above = self._found(surprise)
        if len(tied):
            among = 0.5 if draw is None else draw(tied)
            rarity[tied] = -np.log((1 + above + among * (n - below - above)) / (n + 1))
        if len(beyond):
            rarity[beyond] += (surprise[beyond] - scores[-1]) / self._scale
        return rarity

    def _found(self, surprise: Floats) -> tuple[Floats, Ints, Ints, Ints, Ints]:
        """By the number of reference rows below each surprise its rarity ``(n,)``; which are beyond all of them; which
        are those of some, and how many are below the latter, and above.
        """
        n = len(self.scores)
        if native.loops is not None:
            surprise, rarity = np.ascontiguousarray(surprise), np.empty(len(surprise))
            beyond, *of_tied = np.empty((4, len(surprise)), dtype=np.int64)
            far, same = native.loops.among(*self._places.buffers, surprise, self._rarities, rarity, beyond, *of_tied)
            tied, below, above = (of_one[:same] for of_one in of_tied)
            return rarity, beyond[:far], tied, below, above
        place = self._places.below(surprise[:, None])[:, 0].astype(np.int64)
        tied = np.flatnonzero(self.scores[np.minimum(place, n - 1)] == surprise)
        above = n - np.searchsorted(self.scores, surprise[tied], side="right")
        return self._rarities[place], np.flatnonzero(place == n), tied, place[tied], above

    @cached_property
    def _places(self) -> Ladders:
        return Ladders(self.scores[None])

    @cached_property
    def _rarities(self) -> Floats:
        """``(n + 1,)`` by the number of reference rows below."""
        n = len(self.scores)
        return -np.log(np.arange(n + 1, 0, -1) / (n + 1))

    @cached_property
    def _scale(self) -> float:
        """Mean excess of the strangest rows, to go on beyond them; no rarer than what a slice's own rows bear out."""
        tail = self.scores[-max(len(self.scores) // 100, 2) :]
        return max(float(tail.mean() - tail[0]), 1e-9)

    @cached_property
    def _mostly_pooled(self) -> Bools:
        return self.tails.mostly_pooled(ALPHA)

    def limit(self, alpha: float, name: str = POOLED) -> float:
        """The surprise above which a row of a slice has p ≤ alpha; that of the largest row where none can have."""
        codes, scores = self.tails.codes(np.array([name], dtype=object)), self.scores

        def strange(surprise: float) -> bool:
            return bool(self._p(np.nextafter([surprise], np.inf), codes)[0] <= alpha)

        if strange(scores[-1]):
            low, high = -1, len(scores) - 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if strange(scores[middle]) else (middle, high)
            return float(scores[high])
        if alpha < self.floor():
            return float(scores[-1])
        near, step = float(scores[-1]), self._scale
        while not strange(near + step):
            step *= 2
        far = near + step
        while near < (between := (near + far) / 2) < far:
            near, far = (near, between) if strange(between) else (between, far)
        return far

    def floor(self, name: str = POOLED) -> float:
        """The smallest p-value, of every slice: one in all rows and one more."""
        return 1.0 / (len(self.scores) + 1)

    def resolution(self, name: str = POOLED, alpha: float = ALPHA) -> Resolution:
        """How fine and how certain the p-values of a slice are at a level."""
        variance = self.tails.variance_at(name, alpha) if name != POOLED else 0.0
        variance += (1.0 - alpha) / (alpha * len(self.scores))
        codes = self.tails.codes(np.array([name], dtype=object))
        return Resolution(
            float(self._p(np.nextafter(self.scores[-1:], np.inf), codes)[0]),
            self.tails.rows_of(name) if name != POOLED else len(self.scores),
            (1.0 - alpha) / (alpha * variance),
            self.tails.own_weight(name, alpha),
            math.sqrt(variance),
        )

    def to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays, for the artifact."""
        names, tails = self.tails.to_state()
        meta = {"slices": names, "log_prob_mean": self.log_prob_mean, "log_prob_sd": self.log_prob_sd, "key": self.key}
        meta["weight"] = self.weights.tolist()
        arrays = {
            "nll": self.nll,
            "distance": self.distance,
            "pit_reference": self.pit_reference,
            "ordinary": self.ordinary,
            "parts_mean": self.parts_mean,
            "scores": self.scores,
        }
        return meta, arrays | arrays_of(self.beside) | {f"tails.{name}": values for name, values in tails.items()}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Calibration:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit."""
        tails = {name.removeprefix("tails."): a for name, a in arrays.items() if name.startswith("tails.")}
        calibration = cls(
            beside_of(arrays),
            arrays["nll"],
            np.atleast_2d(arrays["distance"]),
            arrays["scores"],
            Tails.from_state(meta["slices"], tails),
            arrays["pit_reference"],
            arrays["ordinary"],
            arrays["parts_mean"],
            float(meta["log_prob_mean"]),
            float(meta["log_prob_sd"]),
            meta["key"],
            np.atleast_1d(np.array(meta["weight"], dtype=np.float64)),
        )
        calibration._check()
        return calibration

    def _check(self) -> None:
        ascending = all(
            a.ndim == 1 and len(a) and np.all(a[:-1] <= a[1:]) for a in (self.nll, self.scores, *self.distance)
        )
        finite = math.isfinite(self.log_prob_mean) and math.isfinite(self.log_prob_sd)
        d = len(self.pit_reference)
        shaped = self.pit_reference.shape == (d, PIT_BINS) and self.ordinary.shape == (len(ORDINARY), d)
        if not ascending or not finite or not shaped or len(self.parts_mean) < d:
            raise ValueError("calibration arrays must be ascending, finite and fit each other")
        p = max(len(self.beside), 1)
        if len(self.distance) != p or self.weights.shape != (p,):
            raise ValueError(f"calibration: {p} distances with a weight each expected, got {len(self.distance)}")
        if not (np.isfinite(self.weights) & (self.weights >= 0)).all():
            raise ValueError(f"calibration weights must be finite and at least 0, got {self.weights.tolist()}")
        if not isinstance(self.key, int) or not 0 <= self.key < 1 << 64:
            raise ValueError(f"calibration key must be a whole number from 0 to 2⁶⁴, got {self.key!r}")


@dataclass(frozen=True)
class Resolution:
    """How fine and how certain the p-values of a slice are at a level.

    Attributes:
        smallest: p-value just beyond the strangest reference row; from there on it falls to the floor.
        rows: the slice's reference rows; 0 where it has no tail of its own.
        effective_rows: own rows that would make the rate as certain as it is.
        own_weight: what share of what is known its own rows say, 0 to 1.
        error: standard error of the logarithm of the rate at which p ≤ alpha, while nothing changes.
    """

    smallest: float
    rows: int
    effective_rows: float
    own_weight: float
    error: float


def _ordinary(features: Singles, missing: Bools) -> Floats:
    """``(3, d)`` quantiles of the present values; 0 for a column without any."""
    columns = [features[~missing[:, j], j] for j in range(features.shape[1])]
    quantiles = [np.quantile(column, ORDINARY) if len(column) else np.zeros(len(ORDINARY)) for column in columns]
    return np.array(quantiles, dtype=np.float64).reshape(-1, len(ORDINARY)).T.copy()
