"""Table to model features and back in measure: scaling, missing masks, categoricals, with the exact log-Jacobian.

A row is modelled as ``p(m) · Π_k p(c_k) · p(x_obs | m, c)``: the missing mask and the categories have smoothed factors
of their own and condition the flow over the numeric values. A missing value is modelled as an independent standard
normal: training fills it with fresh noise, scoring puts 0 there and takes ``log N(0; 0, 1)`` off again, so a flow that
has learnt the independence gives the density of the observed values alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Bools, Floats, Objects, Singles, Table

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
LEVELS_MAX = 256
"""Categories beyond the most frequent 256 share the unseen bucket."""

_LONG_TAIL = 4.0
"""A non-negative column whose largest value is this many times its median is taken on a logarithmic scale."""

FEATURE_LIMIT = 50.0
"""Features beyond ± this many scale units are called unscorable: the flow has nothing to say of them."""


@dataclass(frozen=True)
class FeatureSpec:
    """Names of the columns, in order."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """Model inputs of n rows.

    Attributes:
        features: ``(n, d)`` float32, 0 where missing.
        context: ``(n, c)`` float32: d missing indicators, then one-hot categories.
        ladj: ``(n, d)`` float64. Of an observed value: log |d feature / d raw| + log p(present); of a missing one:
            log p(missing) + ½ log 2π, which takes off again what the base gives to the filled-in 0.
        category_log_prob: ``(n, k)`` float64, smoothed log probability of each category.
        missing: ``(n, d)`` bool.
        scorable: ``(n,)`` bool; the other columns mean nothing where it is False.
    """

    features: Singles
    context: Singles
    ladj: Floats
    category_log_prob: Floats
    missing: Bools
    scorable: Bools


@dataclass(frozen=True)
class Encoder:
    """Fitted column transforms. Per numeric column: ``(t(x) − shift) / scale``, ``t`` the identity or ``asinh(x / unit)``.

    Attributes:
        spec: column names.
        unit: ``(d,)`` 0 for columns left linear, else the unit of asinh (near 0 linear, far out logarithmic).
        shift, scale: ``(d,)`` of the transformed column.
        missing_share: ``(d,)`` smoothed share of missing values.
        levels: for each categorical column its known levels; index ``len(levels)`` is the unseen bucket.
        level_log_prob: for each categorical column ``(len(levels) + 1,)`` smoothed log probabilities.
    """

    spec: FeatureSpec
    unit: Floats
    shift: Floats
    scale: Floats
    missing_share: Floats
    levels: tuple[tuple[str | None, ...], ...]
    level_log_prob: tuple[Floats, ...]

    @property
    def context_width(self) -> int:
        """Columns of the context."""
        return len(self.spec.numeric) + sum(len(levels) + 1 for levels in self.levels)

    @classmethod
    def fit(cls, spec: FeatureSpec, table: Table) -> Encoder:
        """Fit on training rows, n ≥ 1; raises ValueError on a wrong shape or no rows."""
        numeric, categories = table.numeric, table.categories
        _check_shapes(spec, numeric, categories)
        if not len(numeric):
            raise ValueError("no rows to fit the encoder on")
        values = numeric.astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        d = len(spec.numeric)
        unit, shift, scale = np.zeros(d), np.zeros(d), np.ones(d)
        for j in range(d):
            unit[j], shift[j], scale[j] = _fit_column(values[:, j])
        missing = np.isnan(numeric)
        tables = [_fit_levels(categories[:, k]) for k in range(len(spec.categorical))]
        return cls(
            spec, unit, shift, scale, (missing.sum(axis=0) + 0.5) / (len(numeric) + 1.0),
            tuple(levels for levels, _ in tables), tuple(log_prob for _, log_prob in tables),
        )  # fmt: skip

    def encode(self, table: Table) -> Encoded:
        """Encode rows; see :class:`Encoded`. Never returns a non-finite value; raises ValueError on a wrong shape."""
        numeric, categories = table.numeric, table.categories
        _check_shapes(self.spec, numeric, categories)
        missing = np.isnan(numeric)
        x = np.where(missing, 0.0, numeric.astype(np.float64))
        finite = np.isfinite(x)
        x = np.where(finite, x, 0.0)
        wide = self.unit > 0
        unit = np.where(wide, self.unit, 1.0)
        value = (np.where(wide, np.arcsinh(x / unit), x) - self.shift) / self.scale
        slope = np.where(wide, -np.log(unit) - 0.5 * np.log1p((x / unit) ** 2), 0.0) - np.log(self.scale)
        in_range = (np.abs(np.where(missing, 0, value)) < FEATURE_LIMIT).all(axis=1)
        scorable = np.asarray(finite.all(axis=1) & ~missing.all(axis=1) & in_range)
        ladj = np.where(missing, HALF_LOG_TWO_PI, slope) + self._mask_log_prob(missing)
        one_hot, category_log_prob = self._categories(categories)
        features = np.where(missing | ~scorable[:, None], 0.0, value).astype(np.float32)
        context = np.concatenate([missing.astype(np.float32), one_hot], axis=1)
        ladj = np.where(scorable[:, None], ladj, 0.0)
        return Encoded(features, context, ladj, category_log_prob, missing, scorable)

    def _mask_log_prob(self, missing: Bools) -> Floats:
        log_missing, log_present = np.log(self.missing_share), np.log1p(-self.missing_share)
        return np.asarray(np.where(missing, log_missing, log_present), dtype=np.float64)

    def _categories(self, categories: Objects) -> tuple[Singles, Floats]:
        n = len(categories)
        blocks, log_prob = [np.zeros((n, 0), np.float32)], np.zeros((n, len(self.levels)))
        for k, levels in enumerate(self.levels):
            index = {level: i for i, level in enumerate(levels)}
            codes = np.array([index.get(value, len(levels)) for value in categories[:, k]], dtype=np.int64)
            blocks.append(np.eye(len(levels) + 1, dtype=np.float32)[codes].reshape(n, -1))
            log_prob[:, k] = self.level_log_prob[k][codes]
        return np.concatenate(blocks, axis=1), log_prob

    def to_state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """JSON part and arrays, for the artifact."""
        meta = {"numeric": list(self.spec.numeric), "categorical": list(self.spec.categorical),
                "levels": [list(levels) for levels in self.levels]}  # fmt: skip
        arrays = {"unit": self.unit, "shift": self.shift, "scale": self.scale, "missing_share": self.missing_share}
        arrays |= {f"level_log_prob.{k}": values for k, values in enumerate(self.level_log_prob)}
        return meta, arrays

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, Floats]) -> Encoder:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError when the parts do not fit."""
        spec = FeatureSpec(tuple(meta["numeric"]), tuple(meta["categorical"]))
        levels = tuple(tuple(table) for table in meta["levels"])
        tables = tuple(arrays[f"level_log_prob.{k}"] for k in range(len(levels)))
        encoder = cls(spec, arrays["unit"], arrays["shift"], arrays["scale"], arrays["missing_share"], levels, tables)
        d = len(spec.numeric)
        fits = all(a.shape == (d,) for a in (encoder.unit, encoder.shift, encoder.scale, encoder.missing_share))
        if not fits or len(levels) != len(spec.categorical) or any(
            len(table) != len(known) + 1 for table, known in zip(tables, levels, strict=True)
        ):  # fmt: skip
            raise ValueError("encoder arrays do not fit the feature names")
        if not (np.all(encoder.scale > 0) and np.all((encoder.missing_share > 0) & (encoder.missing_share < 1))):
            raise ValueError("encoder scales must be positive and missing shares inside (0, 1)")
        return encoder


def _check_shapes(spec: FeatureSpec, numeric: Any, categories: Any) -> None:
    if numeric.ndim != 2 or numeric.shape[1] != len(spec.numeric):
        raise ValueError(
            f"numeric has shape {numeric.shape}, expected (n, {len(spec.numeric)}): {', '.join(spec.numeric)}"
        )
    if categories.shape != (len(numeric), len(spec.categorical)):
        raise ValueError(f"categories has shape {categories.shape}, expected ({len(numeric)}, {len(spec.categorical)})")


def _fit_column(x: Floats) -> tuple[float, float, float]:
    """Unit, shift and scale. Non-negative columns with a long tail become logarithmic: their tails are where the news is."""
    x = x[~np.isnan(x)]
    if not len(x):
        return 0.0, 0.0, 1.0
    unit = 0.0
    if x.min() >= 0 and x.max() > _LONG_TAIL * np.median(x):
        positive = x[x > 0]
        unit = float(np.quantile(positive, 0.1)) or float(positive.min())
        x = np.arcsinh(x / unit)
    # Relative to the size of the values, so that a change of unit changes nothing but the unit.
    scale, ignorable = float(x.std()), 1e-12 * float(np.abs(x).max())
    return unit, float(x.mean()), scale if scale > ignorable else 1.0


def _fit_levels(values: Objects) -> tuple[tuple[str | None, ...], Floats]:
    """Known levels, most frequent first, and log probabilities smoothed by ½, the unseen bucket included."""
    counts: dict[str | None, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    order = sorted(counts, key=lambda level: (-counts[level], level is None, level or ""))[:LEVELS_MAX]
    known = np.array([counts[level] for level in order] + [len(values) - sum(counts[level] for level in order)])
    return tuple(order), np.log((known + 0.5) / (len(values) + 0.5 * len(known)))
