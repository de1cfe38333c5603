"""Fits a reference on held-out rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flowlib.channels import Channels, EventScores, value_codes
from flowlib.reference.counts import fit_missing, fit_shares, fit_still, fit_volume
from flowlib.reference.dependence import variance_ratio
from flowlib.reference.moments import Normal, Sums, centred_products, deviations, group_sum
from flowlib.reference.reference import ABSENT, CONSTANT, COPY, LAMBDAS, VARIES, Reference, most_slices
from flowlib.reference.runs import with_runs
from flowlib.reference.shrinkage import Pooled, pool
from flowlib.reference.values import fit_values
from flowlib.table import LARGEST, Bools, Floats, Ints, Objects, Table

if TYPE_CHECKING:
    from flowlib.encoder.findings import Finding

EVENTS_MAX = 20_000
"""Single events that cumulants are measured on."""

ARRIVALS_MAX = 1_000_000
"""Arrivals that are looked at."""

_FAR = 3.0
"""Widths of a column's range beyond it from which on a value is from another world."""

_SQUARE_MIN, _SPREAD_MIN = 0.05, 1e-3
_ROUNDS = 2
"""Uncertainty depends on the variance ratio, and the ratio on the means: twice round is enough."""


def column_kinds(table: Table, findings: tuple[Finding, ...], names: tuple[str, ...]) -> Ints:
    """Which numeric columns have channels ``(d,)``."""
    numeric = table.numeric
    present = ~np.isnan(numeric)
    low = np.where(present, numeric, np.inf).min(axis=0, initial=np.inf)
    high = np.where(present, numeric, -np.inf).max(axis=0, initial=-np.inf)
    kinds = np.where(present.any(axis=0), np.where(low == high, CONSTANT, VARIES), ABSENT)
    for finding in findings:
        if finding.kind == "duplicate":
            kinds[names.index(finding.columns[1])] = COPY
    return kinds.astype(np.int64)


def fit_reference(
    channels: Channels,
    events: EventScores,
    table: Table,
    kinds: Ints,
    pane_ms: int,
    arrivals: Table | None = None,
    known: Table | None = None,
    newest_ms: int = 0,
    slicing: int = 0,
    zone: str = "UTC",
) -> Reference:
    """Fit on held-out rows: of scores. What does not depend on the model is learnt of longer times.

    Args:
        channels: the model's.
        events: scores of n rows, all scorable; n ≥ 1.
        table: the rows.
        kinds: ``(d,)`` of each column.
        pane_ms: length of a pane.
        arrivals: all rows of some time, which say how many come, how many values are missing and how often values
            repeat; without them those of ``table``. Of more than :data:`ARRIVALS_MAX` the newest count.
        known: rows whose values are normal, trained on or held out, for ranges; without them those of ``table``.
        newest_ms: time from which arrivals say how many come: that changes for good reasons.
        slicing: number of the slicing.
        zone: time zone of the hours at which events come.
    """
    arrivals, known = table if arrivals is None else arrivals, table if known is None else known
    arrivals = arrivals.span(max(len(arrivals) - ARRIVALS_MAX, 0), len(arrivals))
    slices, arrived = table.in_slicing(slicing), arrivals.in_slicing(slicing)
    slicings = 1 if table.others is None else 1 + table.others.shape[1]
    names = _largest(most_slices(len(kinds), events.group.shape[1], slicings), slices, arrived)
    code, arrived_code = _codes(names, slices), _codes(names, arrived)
    named, panes = code >= 0, table.time_ms // pane_ms
    single = Sums.of_events(channels, events)
    moments = _Moments(single.take(np.flatnonzero(named)), code[named], panes[named], len(names), channels.pairs)
    present, arrived_panes = ~np.isnan(arrivals.numeric), arrivals.time_ms // pane_ms
    numbers = value_codes(np.where(present, arrivals.numeric, 0.0))
    usual = _usual(known.numeric)
    missing = fit_missing(~present, arrived_code, arrived_panes, len(names))
    still = fit_still(numbers, present, arrived_code, arrived_panes, len(names), usual)
    share = fit_shares(events.group, code, panes, len(names))
    new = arrivals.time_ms >= newest_ms
    d = len(kinds)
    ratios = moments.inflation[:, :d], moments.all_inflation[:d]
    values = fit_values(table.numeric, table.time_ms, code, len(names), zone, *ratios)
    volume = fit_volume(arrived_code[new], arrivals.time_ms[new], pane_ms, len(names), zone)
    low, high = _range(known.numeric, ~np.isnan(known.numeric))
    rows = np.bincount(np.where(named, code + 1, 0), minlength=len(names) + 1).astype(np.float64)
    return Reference(
        slices=names,
        pane_ms=pane_ms,
        zone=zone,
        rows=rows,
        mean=moments.normal.mean,
        sd=moments.normal.sd,
        mean_se=moments.mean_se,
        square_se=moments.square_se,
        product=moments.normal.product,
        product_se=moments.product_se,
        square_sd=moments.normal.square_sd,
        product_sd=moments.normal.product_sd,
        pairs=channels.pairs,
        cumulants=moments.cumulants,
        inflation=moments.inflation,
        all_inflation=moments.all_inflation,
        all_se=moments.all_se,
        kind=kinds,
        usual=usual,
        low=low,
        high=high,
        **missing,
        **still,
        **share,
        **volume,
        **values,
    )


def _usual(numeric: Floats) -> Ints:
    """Code ``(d,)`` of each column's most frequent value; 0 for no value."""
    usual = np.zeros(numeric.shape[1], dtype=np.int64)
    for j, column in enumerate(numeric.T):
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        usual[j] = value_codes(values[[counts.argmax()]])[0] if len(values) else 0
    return usual


def _range(numeric: Floats, present: Bools) -> tuple[Ints, Ints]:
    """Codes ``(d,)`` of each column's smallest and largest value, less and plus thrice their distance; 0 for none."""
    least = np.where(present, numeric, np.inf).min(axis=0, initial=np.inf)
    most = np.where(present, numeric, -np.inf).max(axis=0, initial=-np.inf)
    there = present.any(axis=0)
    least, most = np.where(there, least, 0.0), np.where(there, most, 0.0)
    beyond = _FAR * (most - least)
    low, high = value_codes(np.clip([least - beyond, most + beyond], -LARGEST, LARGEST))
    return low, high


def _largest(most: int, *slices: Objects) -> tuple[str, ...]:
    names, counts = np.unique(np.concatenate(slices).astype(str), return_counts=True)
    order = np.sort(np.argsort(-counts, kind="stable")[:most])
    return tuple(str(name) for name in names[order])


def _codes(names: tuple[str, ...], slices: Objects) -> Ints:
    """Number of each row's slice, −1 where it has none."""
    number = {name: i for i, name in enumerate(names)}
    return np.array([number.get(name, -1) for name in slices.tolist()], dtype=np.int64)


class _Moments:
    """Means, scales and correlations of the slices, with their errors, cumulants and variance ratios."""

    def __init__(self, events: Sums, code: Ints, panes: Ints, slices: int, pairs: Ints) -> None:
        self._events, self._code, self._pairs = events, code, pairs
        self._total = events.grouped(code, slices)
        cells, of_cell = np.unique(code * (int(panes.max(initial=0)) + 1) + panes, return_inverse=True)
        self._cells = events.grouped(of_cell, len(cells))
        self._slice_of, self._pane_of = np.divmod(cells, int(panes.max(initial=0)) + 1)
        e, p = events.base.shape[1], len(pairs)
        self.inflation = np.ones((slices + 1, 2 * e + p))
        self._square_sd, self._product_sd = np.full(e, 1.3), np.full(p, 1.2)
        self.cumulants = np.zeros((2 * e + p, 2, len(LAMBDAS)))
        for _ in range(_ROUNDS):
            self._fit_means(slices)
            self._fit_events()
            n, deviation = deviations(self._cells, self._at(self._slice_of))
            self.inflation = variance_ratio(deviation, n, self._slice_of, self._pane_of, slices)
        at = self._slice_of, self._pane_of
        self.cumulants = with_runs(self.cumulants, np.array(LAMBDAS), deviation, n, self.inflation[1:], *at)
        self._fit_all(n, deviation)

    def _at(self, codes: Ints) -> Normal:
        return self.normal.take(codes + 1)

    def _fit_means(self, slices: int) -> None:
        total, e = self._total, self._total.base.shape[1]
        n, i, j = np.maximum(total.present, 1e-9), *self._pairs.T
        location, scale, product = np.split(self.inflation[1:], [e, 2 * e], axis=1)
        within = (total.square - total.base**2 / n).sum(axis=0) / np.maximum(n.sum(axis=0), 1e-9)
        within = np.maximum(within, _SPREAD_MIN)
        mean = pool(total.base / n, _variance(location * within, n))
        m = mean.mean[1:]
        square = pool(
            (total.square - 2 * m * total.base + n * m**2) / n / within, _variance(scale * self._square_sd**2, n)
        )
        sd = np.sqrt(np.maximum(square.mean, _SQUARE_MIN) * within)
        both, centred = centred_products(total, m, self._pairs)
        own = centred / (sd[1:, i] * sd[1:, j]) / np.maximum(both, 1e-9)
        dependence = pool(own, _variance(product * self._product_sd**2, both))
        self._pooled: tuple[Pooled, Pooled, Pooled] = (mean, square, dependence)
        self.normal = Normal(mean.mean, sd, dependence.mean, self._square_sd, self._product_sd, self._pairs)

    def _fit_events(self) -> None:
        """Deviations of single events: their spread, and cumulants."""
        chosen = np.sort(np.random.default_rng(0).permutation(len(self._code))[:EVENTS_MAX])
        events, normal = self._events.take(chosen), self._at(self._code[chosen])
        e = normal.mean.shape[1]
        n, x = deviations(events, normal)
        spread = np.maximum(np.sqrt((x**2).sum(axis=0) / np.maximum(n.sum(axis=0), 1.0)), _SPREAD_MIN)
        self._square_sd = np.maximum(spread[e : 2 * e] * normal.square_sd, _SPREAD_MIN)
        self._product_sd = np.maximum(spread[2 * e :] * normal.product_sd, _SPREAD_MIN)
        self.normal = replace(self.normal, square_sd=self._square_sd, product_sd=self._product_sd)
        x[:, e:] /= spread[e:]
        total = np.maximum(n.sum(axis=0), 1.0)
        self.cumulants = np.empty((x.shape[1], 2, len(LAMBDAS)))
        for s, sign in enumerate((1.0, -1.0)):
            for k, bet in enumerate(LAMBDAS):
                mean = np.where(n > 0, np.exp(np.minimum(sign * bet * x, 50.0)), 0.0).sum(axis=0) / total
                self.cumulants[:, s, k] = np.log(np.maximum(mean, 1.0))
        mean, square, dependence = self._pooled
        self.mean_se = mean.sd / np.maximum(self.normal.sd, _SPREAD_MIN)
        self.square_se = square.sd / np.maximum(square.mean, _SQUARE_MIN) / self._square_sd
        self.product_se = dependence.sd / self._product_sd

    def _fit_all(self, n: Floats, deviation: Floats) -> None:
        """The sums over all slices: their variance ratio, and the error of their mean."""
        panes, code = np.unique(self._pane_of, return_inverse=True)
        of_pane, events = group_sum(deviation, code, len(panes)), group_sum(n, code, len(panes))
        self.all_inflation = variance_ratio(of_pane, events, np.full(len(panes), -1), panes)[0]
        total = np.maximum(events.sum(axis=0), 1.0)
        self.all_se = np.sqrt(self.all_inflation / total)
        # Slices that are alike have their mean from one another: what moves all of them at once is in each of them.
        of_mean, of_square, of_product = np.split(self.all_se, [(e := self.mean_se.shape[1]), 2 * e])
        self.mean_se = np.hypot(self.mean_se, of_mean)
        self.square_se = np.hypot(self.square_se, of_square)
        self.product_se = np.hypot(self.product_se, of_product)


def _variance(of_event: Floats, n: Floats) -> Floats:
    """Sampling variances of means; inf where there are fewer than two values."""
    return np.where(n >= 2, of_event / np.maximum(n, 1.0), np.inf)
