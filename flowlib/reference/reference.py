"""The reference of a model: what drift is measured against.

Every figure of a slice is pooled partially with the others (:mod:`~flowlib.reference.shrinkage`) and comes with what is
not known of it; row 0 stands for a slice that was not there. It travels with the model, in its signature.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.channels import GROUPS, pairs_of
from flowlib.encoder.zones import check_zone, local
from flowlib.reference.moments import Normal
from flowlib.reference.values import DAY_HOURS, VALUE_UNIT, profile_between
from flowlib.table import Floats, Ints

LAMBDAS = (0.2, 0.45, 0.9, 1.6)
"""Bets that the cumulants are kept for, per standard deviation of one event."""

SLICES_MAX, SLICES_BYTES_MAX = 4_096, 6_000_000
"""Slices with a row of their own, those with most events; what they take in all references of a model."""

STILL_SIZES = 3
"""A pane with one value, with two, with more: how likely it is to repeat the one before."""

SHIFT_MAX = 3.0
"""Scores are bounded: larger shifts all look like this one, sd."""

QUIET_PANES_MAX = 2_000
"""Panes without any event that are gone through, one after the other: by then there is no doubt of a silence."""

HOURS = 168
VARIES, CONSTANT, ABSENT, COPY = 0, 1, 2, 3
"""Kinds of columns: only the first has channels; of a constant and an absent one the end is watched."""


@dataclass(frozen=True)
class Reference:
    """Figures of s slices, d columns, k categorical ones, p pairs and c = 2 (d + 1) + p channels; row 0: any other.

    Attributes:
        slices: names of the rows from 1 on.
        pane_ms: the pane they are for.
        zone: time zone of the hours of the week.
        rows: ``(s + 1,)`` events they come from.
        mean, sd, mean_se: ``(s + 1, d + 1)`` of the base scores; the last in sd of one event.
        square_se: ``(s + 1, d + 1)`` standard error of the squares, in sd of one event's square.
        product, product_se: ``(s + 1, p)`` correlation of a pair, and its error in sd of one event's product.
        square_sd, product_sd: ``(d + 1,)``, ``(p,)``; see :class:`~flowlib.reference.moments.Normal`.
        pairs: ``(p, 2)``.
        cumulants: ``(c, 2, 4)`` log E exp(± λ x) of one event's deviation x, for each of :data:`LAMBDAS`.
        inflation: ``(s + 1, c)`` long-run variance ratio of the sums of a slice.
        all_inflation, all_se: ``(c,)`` of the sums over all slices, and what is not known of their mean.
        kind: ``(d,)`` of each column, :data:`VARIES` and so on.
        usual: ``(d,)`` code of a column's most frequent value; of a constant one its value.
        low, high: ``(d,)`` codes of the range of a column's values, wider by three times its width at both ends.
        missing, missing_se: ``(s + 1, d)`` share of missing values.
        missing_inflation: ``(s + 1, d)``.
        still: ``(s + 1, d, 3)`` share of panes that repeat the value of the one before.
        still_inflation: ``(s + 1, d)``.
        share, share_se: ``(s + 1, k, 9)`` of the groups of each categorical column.
        share_inflation: ``(s + 1, k, 9)``.
        rate, rate_se: ``(s + 1,)`` events a pane, and its relative error.
        profile: ``(168,)`` factor of each hour of the week, on the clock of the zone.
        dispersion: ``(1,)`` size of the negative binomial; large is Poisson.
        rate_inflation: ``(s + 1,)``.
        value_centre, value_scale: ``(d,)`` what a column's values are centred and scaled by where they are summed, the
            same for every slicing of a model.
        value_mean, value_sd: ``(s + 1, d)`` of one event's value, in these scales.
        value_profile: ``(24, d)`` what each hour of the day adds, on the clock of the zone; mean 0 over the rows.
    """

    slices: tuple[str, ...]
    pane_ms: int
    zone: str
    rows: Floats
    mean: Floats
    sd: Floats
    mean_se: Floats
    square_se: Floats
    product: Floats
    product_se: Floats
    square_sd: Floats
    product_sd: Floats
    pairs: Ints
    cumulants: Floats
    inflation: Floats
    all_inflation: Floats
    all_se: Floats
    kind: Ints
    usual: Ints
    low: Ints
    high: Ints
    missing: Floats
    missing_se: Floats
    missing_inflation: Floats
    still: Floats
    still_inflation: Floats
    share: Floats
    share_se: Floats
    share_inflation: Floats
    rate: Floats
    rate_se: Floats
    profile: Floats
    dispersion: Floats
    rate_inflation: Floats
    value_centre: Floats
    value_scale: Floats
    value_mean: Floats
    value_sd: Floats
    value_profile: Floats

    def index(self, names: Iterable[str]) -> Ints:
        """The row ``(m,)`` of each slice, 0 where there is none."""
        rows = {name: i for i, name in enumerate(self.slices, 1)}
        return np.array([rows.get(name, 0) for name in names], dtype=np.int64)

    def normal(self) -> Normal:
        """What is normal in each row's slice."""
        return Normal(self.mean, self.sd, self.product, self.square_sd, self.product_sd, self.pairs)

    def expected_value(self, known: Ints, start_ms: Ints | int, end_ms: Ints | int) -> Floats:
        """Mean values ``(m, d)`` that are usual in slices from start to end, in the columns' own units.

        Args:
            known: ``(m,)`` rows of the slices.
            start_ms, end_ms: ``(m,)`` of each, or one for all; averaged over the hours between.
        """
        from_ms, to_ms, _ = np.broadcast_arrays(start_ms, end_ms, known)
        usual = profile_between(self.value_profile, local(self.zone, from_ms), to_ms - from_ms)
        return np.asarray(self.value_centre + self.value_scale * (self.value_mean[known] + usual))

    def expected_sd(self, known: Ints) -> Floats:
        """Standard deviation ``(m, d)`` of one event's value in slices, in the columns' own units."""
        return np.asarray(self.value_sd[known] * self.value_scale)

    def value_sums(self, totals: Ints, events: Floats | Ints) -> Floats:
        """Sums of values ``(m, d)``, in the columns' own units, from those of
        :func:`~flowlib.reference.values.value_counts` and how many values they are of.
        """
        return np.asarray(events * self.value_centre + totals / VALUE_UNIT * self.value_scale)

    @cached_property
    def standard_error(self) -> Floats:
        """``(s + 1, c)`` of every channel's mean, in sd of one event."""
        return np.concatenate([self.mean_se, self.square_se, self.product_se], axis=1)

    @cached_property
    def worked_out(self) -> dict[str, Any]:
        """What others have worked out of it, under names of their own; kept as long as it is."""
        return {}

    def to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """JSON part and arrays, for the artifact."""
        arrays = {name: getattr(self, name) for name in _SHAPES}
        compact = {
            name: a.astype(np.float32) if a.dtype == np.float64 and name not in _EXACT else a
            for name, a in arrays.items()
        }
        return {"slices": list(self.slices), "pane_ms": self.pane_ms, "zone": self.zone}, compact

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: Mapping[str, npt.NDArray[Any]], d: int, k: int) -> Reference:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit d and k columns."""
        wide: dict[str, npt.NDArray[Any]] = {
            name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in arrays.items()
        }
        slices, pane_ms = tuple(str(name) for name in meta["slices"]), int(meta["pane_ms"])
        reference = cls(slices, pane_ms, meta["zone"], **{name: wide[name] for name in _SHAPES})
        reference.check(d, k)
        return reference

    def check(self, d: int, k: int) -> None:
        """Raise ValueError on parts that do not fit; a signed state may still be senseless."""
        s, e, p = len(self.slices) + 1, d + 1, pairs_of(d)
        sizes = {"s": s, "d": d, "e": e, "k": k, "p": p, "c": 2 * e + p}
        for name, shape in _SHAPES.items():
            array, expected = (getattr(self, name), tuple(sizes[n] if isinstance(n, str) else n for n in shape))
            whole = name in _WHOLE
            if array.shape != expected or array.dtype != (np.int64 if whole else np.float64):
                raise ValueError(f"reference: {name} has the shape {array.shape}, expected {expected}")
            if not np.isfinite(array).all() or (name not in _SIGNED and (array < 0).any()):
                raise ValueError(f"reference: {name} holds values that are not finite, or negative")
        for name in ("sd", "square_sd", "product_sd", "dispersion", "value_scale", "value_sd"):
            if not (getattr(self, name) > 0).all():
                raise ValueError(f"reference: {name} must be positive")
        for name in (name for name in _SHAPES if name.endswith("inflation")):
            if not (getattr(self, name) >= 1).all():
                raise ValueError(f"reference: {name} must be 1 at least")
        if ((self.kind < VARIES) | (self.kind > COPY)).any():
            raise ValueError(f"reference: a kind of column must be {VARIES} to {COPY}")
        if ((self.pairs < 0) | (self.pairs >= d)).any() or self.pane_ms < 1:
            raise ValueError("reference: pairs must name two columns each, and a pane have a length")
        try:
            check_zone(self.zone)
        except ValueError as error:
            raise ValueError(f"reference: {error}") from None


_WHOLE = ("pairs", "kind", "usual", "low", "high")
_SIGNED = ("mean", "product", "value_centre", "value_mean", "value_profile", *_WHOLE)
_EXACT = ("value_centre", "value_scale")
"""Whole float64: an offset costs a value no digits."""
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "rows": ("s",),
    "mean": ("s", "e"),
    "sd": ("s", "e"),
    "mean_se": ("s", "e"),
    "square_se": ("s", "e"),
    "product": ("s", "p"),
    "product_se": ("s", "p"),
    "square_sd": ("e",),
    "product_sd": ("p",),
    "pairs": ("p", 2),
    "cumulants": ("c", 2, len(LAMBDAS)),
    "inflation": ("s", "c"),
    "all_inflation": ("c",),
    "all_se": ("c",),
    "kind": ("d",),
    "usual": ("d",),
    "low": ("d",),
    "high": ("d",),
    "missing": ("s", "d"),
    "missing_se": ("s", "d"),
    "missing_inflation": ("s", "d"),
    "still": ("s", "d", STILL_SIZES),
    "still_inflation": ("s", "d"),
    "share": ("s", "k", GROUPS),
    "share_se": ("s", "k", GROUPS),
    "share_inflation": ("s", "k", GROUPS),
    "rate": ("s",),
    "rate_se": ("s",),
    "profile": (HOURS,),
    "dispersion": (1,),
    "rate_inflation": ("s",),
    "value_centre": ("d",),
    "value_scale": ("d",),
    "value_mean": ("s", "d"),
    "value_sd": ("s", "d"),
    "value_profile": (DAY_HOURS, "d"),
}
assert list(_SHAPES) == [field.name for field in fields(Reference)][3:]


def most_slices(d: int, k: int, slicings: int) -> int:
    """Slices with a row of their own in each reference of a model with d numeric and k categorical columns, so that
    it fits into a message.

    >>> [most_slices(d, 3, slicings) for d, slicings in ((8, 1), (8, 2), (32, 1), (300, 1))]
    [4096, 2542, 1965, 313]
    """
    sizes = {"s": 1, "d": d, "e": d + 1, "k": k, "p": pairs_of(d), "c": 2 * (d + 1) + pairs_of(d)}
    shapes = [[sizes[n] if isinstance(n, str) else n for n in shape] for shape in _SHAPES.values() if shape[0] == "s"]
    of_slice = sum(4 * math.prod(shape) for shape in shapes)
    return max(min(SLICES_MAX, SLICES_BYTES_MAX // (of_slice * slicings)), 1)


def hour_of_week(time_ms: Ints, zone: str) -> Ints:
    """Hour of the week of times, 0 to 167, Monday first, on the clock of the zone."""
    return (local(zone, time_ms) // 3_600_000 + 3 * 24) % HOURS


def volume_log_ratio(n: Floats, mean: Floats, dispersion: float, factor: Floats) -> Floats:
    """Log likelihood ratio of counts: mean times ``factor`` against the mean, negative binomial of size ``dispersion``.

    >>> round(float(volume_log_ratio(np.array(0.0), np.array(6.0), 1e9, np.array(0.5))), 3)
    3.0
    """
    size = dispersion
    ratio = n * np.log(factor) - (n + size) * np.log1p(mean * (factor - 1.0) / (size + mean))
    return np.asarray(ratio, dtype=np.float64)


def smallest_shifts(reference: Reference, known: Ints, panes: float, nats: float, zone: float) -> Floats:
    """The smallest shift of one column, in sd, that slices show within some panes at their usual rate ``(m,)``.

    Solves ``(λ n (δ − zone − 2 se) − n K(λ)) / r = nats`` for δ at the best λ; of the columns, the middle one. A slice
    without a rate, or that would need more than :data:`SHIFT_MAX`, has inf.

    Args:
        reference: what is normal.
        known: ``(m,)`` rows of the reference.
        panes: how many.
        nats: evidence that is needed.
        zone: indifference, sd.
    """
    d = reference.mean.shape[1] - 1
    bets, cumulants = np.array(LAMBDAS), reference.cumulants[:d, 0]
    events = np.maximum(reference.rate[known] * panes, 1e-12)[:, None, None]
    needed = (nats * reference.inflation[known, :d, None] / events + cumulants) / bets
    shift = needed.min(axis=2) + zone + 2.0 * reference.mean_se[known, :d]
    varies = reference.kind == VARIES
    middle = np.median(shift[:, varies], axis=1) if varies.any() else np.full(len(known), np.inf)
    return np.where((reference.rate[known] > 0) & (middle <= SHIFT_MAX), middle, np.inf)
