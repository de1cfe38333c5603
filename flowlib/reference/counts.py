"""What is normal of counts: missing values, still panes, groups of categories, arrivals."""

from __future__ import annotations

import numpy as np

from flowlib.channels import GROUPS
from flowlib.reference.dependence import variance_ratio
from flowlib.reference.moments import group_sum
from flowlib.reference.reference import HOURS, QUIET_PANES_MAX, STILL_SIZES, hour_of_week
from flowlib.reference.shrinkage import pool
from flowlib.table import DAY_MS, Bools, Floats, Ints

_DISPERSION_MAX = 1e9
_CELLS_MAX = 20_000_000
"""Counts of a slice in a pane that are looked at, the newest ones: what fits into memory."""

_WEEKS_MIN, _DAYS_MIN = 2, 2
"""An hour of the week has a factor of its own where it was seen so often; else the hour of the day; else none has."""


def _share(counts: Floats, trials: Floats, inflation: Floats) -> tuple[Floats, Floats]:
    """Shares ``(s + 1, c)`` and their errors from counts ``(s, c)`` of trials; the first row for any other slice."""
    overall = (counts.sum(axis=0) + 0.5) / (trials.sum(axis=0) + 1.0)
    variance = np.maximum(overall * (1 - overall), 1e-9) * inflation[1:]
    pooled = pool(counts / np.maximum(trials, 1e-9), np.where(trials >= 1, variance / np.maximum(trials, 1e-9), np.inf))
    least = 0.5 / (trials.sum(axis=0) + 1.0)
    # Between slices no share can vary by more than the share itself allows.
    error = np.minimum(pooled.sd, np.sqrt(np.maximum(overall * (1 - overall), 1e-9)))
    return np.clip(pooled.mean, least, 1.0 - least), error


def _cells(code: Ints, panes: Ints) -> tuple[Ints, Ints, Ints]:
    """Slice and pane of each cell, and the cell of each row; rows of no slice are in a slice of their own."""
    width = int(panes.max(initial=0)) + 1
    cells, of_row = np.unique((code + 1) * width + panes, return_inverse=True)
    return cells // width - 1, cells % width, of_row


def _by_slice(values: Floats, slices: Ints, s: int) -> Floats:
    """Sums over the cells of each slice ``(s, …)``; those of no slice are left out."""
    return group_sum(values, slices + 1, s + 1)[1:]


def fit_missing(missing: Bools, code: Ints, panes: Ints, s: int) -> dict[str, Floats]:
    """Shares of missing values of ``(n, d)`` rows; ``code`` is each row's slice or −1."""
    slices, times, of_row = _cells(code, panes)
    n = np.bincount(of_row)[:, None].astype(np.float64)
    gaps = group_sum(missing, of_row, len(slices))
    inflation = _inflation(gaps, n, slices, times, s)
    share, error = _share(
        _by_slice(gaps, slices, s), _by_slice(n, slices, s) + 0 * _by_slice(gaps, slices, s), inflation
    )
    return {"missing": share, "missing_se": error, "missing_inflation": inflation}


def fit_shares(groups: Ints, code: Ints, panes: Ints, s: int) -> dict[str, Floats]:
    """Shares of the groups of ``(n, k)`` categorical values."""
    k = groups.shape[1]
    slices, times, of_row = _cells(code, panes)
    n = np.bincount(of_row, minlength=len(slices))[:, None].astype(np.float64)
    one_hot = (groups[:, :, None] == np.arange(GROUPS)).reshape(len(groups), k * GROUPS)
    counts = group_sum(one_hot, of_row, len(slices))
    inflation = _inflation(counts, n, slices, times, s)
    of_slice = _by_slice(counts, slices, s)
    share, error = _share(of_slice, _by_slice(n, slices, s) + 0 * of_slice, inflation)
    shape = (s + 1, k, GROUPS)
    return {
        "share": share.reshape(shape),
        "share_se": error.reshape(shape),
        "share_inflation": inflation.reshape(shape),
    }


def _inflation(counts: Floats, n: Floats, slices: Ints, times: Ints, s: int) -> Floats:
    """Variance ratio ``(s + 1, c)`` of counts of n trials a cell, about each slice's own share."""
    own = _by_slice(counts, slices, s) / np.maximum(_by_slice(n, slices, s), 1.0)
    own = np.concatenate([own, counts.sum(axis=0, keepdims=True) / max(float(n.sum()), 1.0)])[slices]
    variance = n * np.maximum(own * (1 - own), 1e-9)
    return np.where(counts.sum(axis=0) > 1, variance_ratio(counts - n * own, variance, slices, times, s), 1.0)


def fit_still(numbers: Ints, present: Bools, code: Ints, panes: Ints, s: int, usual: Ints) -> dict[str, Floats]:
    """Shares of panes whose values are all the same and those of the pane before, ``(n, d)`` value codes.

    Where these are the column's most frequent value, ``usual`` ``(d,)``, nothing is stuck: it may not rain for weeks.
    """
    slices, times, of_row = _cells(code, panes)
    order = np.argsort(of_row, kind="stable")
    first = np.flatnonzero(np.diff(of_row[order], prepend=-1))
    biggest = np.iinfo(np.int64).max
    low = np.minimum.reduceat(np.where(present, numbers, biggest)[order], first, axis=0)
    high = np.maximum.reduceat(np.where(present, numbers, -biggest)[order], first, axis=0)
    count = group_sum(present, of_row, len(slices))
    d = numbers.shape[1]
    still, trials = np.zeros((s + 1, d, STILL_SIZES)), np.zeros((s + 1, d, STILL_SIZES))
    ratio = np.ones((s + 1, d))
    for j in range(d):
        cells = np.flatnonzero(count[:, j] > 0)
        before, after = cells[:-1], cells[1:]
        same = slices[before] == slices[after]
        before, after = before[same], after[same]
        single = (low[:, j] == high[:, j]) & (low[:, j] != usual[j])
        alike = single[after] & single[before] & (low[before, j] == low[after, j])
        size = np.minimum(count[after, j], STILL_SIZES).astype(np.int64) - 1
        np.add.at(trials[:, j], (slices[after] + 1, size), 1.0)
        np.add.at(still[:, j], (slices[after] + 1, size), alike)
        ratio[:, j] = _still_ratio(alike, size, slices[after], times[after], s)
    share, _ = _share(still[1:].reshape(s, -1), trials[1:].reshape(s, -1), np.repeat(ratio, STILL_SIZES, axis=1))
    return {"still": share.reshape(s + 1, d, STILL_SIZES), "still_inflation": ratio}


def _still_ratio(alike: Bools, size: Ints, slices: Ints, times: Ints, s: int) -> Floats:
    if not alike.any():
        return np.ones(s + 1)
    usual = np.bincount(size, weights=alike, minlength=STILL_SIZES) / np.maximum(
        np.bincount(size, minlength=STILL_SIZES), 1
    )
    share = usual[size]
    variance = np.maximum(share * (1 - share), 1e-9)
    return variance_ratio((alike - share)[:, None], variance[:, None], slices, times, s)[:, 0]


def fit_volume(code: Ints, time_ms: Ints, pane_ms: int, s: int, zone: str) -> dict[str, Floats]:
    """Rates of arrivals. Panes without any count, as WATCH counts them; the first and last do not, they may be cut."""
    found, of_row = np.unique(time_ms // pane_ms, return_inverse=True)
    panes, at = _with_quiet(found)
    first = max(len(panes) - max(_CELLS_MAX // max(s, 1), _WEEKS_MIN * HOURS), 0)
    panes = panes[first:]
    counts = np.zeros((s, len(panes)))
    counted = (code >= 0) & (at[of_row] >= first)
    np.add.at(counts, (code[counted], at[of_row[counted]] - first), 1.0)
    if len(panes) > 4:
        panes, counts = panes[1:-1], counts[:, 1:-1]
    hours = hour_of_week(panes * pane_ms, zone)
    profile = _profile(counts.sum(axis=0), hours, panes * pane_ms)
    usual = np.maximum(profile[hours], 1e-9)
    total, exposure = counts.sum(axis=1, keepdims=True), usual.sum()
    overall = np.maximum(total.mean(axis=0) / exposure, 1e-9)
    mean = np.maximum(total / exposure, 1e-9) * usual
    size = _dispersion(counts, mean)
    cells = np.repeat(np.arange(s), len(panes)), np.tile(panes - panes[0], s)
    variance = (mean + mean**2 / size).reshape(-1, 1)
    ratio = variance_ratio((counts - mean).reshape(-1, 1), variance, *cells, s)
    error = ratio[1:] * (total / exposure + (total / exposure) ** 2 / size + 0.5 / exposure) / exposure
    pooled = pool(total / exposure, error)
    rate = np.maximum(pooled.mean[:, 0], 0.0)
    # A slice's own rate is kept: rates differ by orders of magnitude, and their pooling would be a claim.
    rate[1:] = total[:, 0] / exposure
    rate_se = np.sqrt(np.concatenate([overall**2, error[:, 0]])) / np.maximum(rate, 1e-9)
    return {
        "rate": rate,
        "rate_se": np.minimum(rate_se, 10.0),
        "profile": profile,
        "dispersion": np.array([size]),
        "rate_inflation": ratio[:, 0],
    }


def _with_quiet(found: Ints) -> tuple[Ints, Ints]:
    """Ascending panes with those between them that are gone through without an event, and the place of each there."""
    steps = np.minimum(np.diff(found, prepend=found[:1] - 1), QUIET_PANES_MAX + 1)
    at = np.cumsum(steps) - 1
    panes = np.repeat(found, steps) - (np.repeat(at, steps) - np.arange(steps.sum()))
    return panes, at


def _profile(counts: Floats, hours: Ints, start_ms: Ints) -> Floats:
    """Factor of each hour of the week ``(168,)``, around 1; hours seen less often are nearer to what they are part of.

    Hours of the week keep to those of the day as far as chance may make their difference.
    """
    factor, mean = np.ones(HOURS), float(counts.mean()) if len(counts) else 0.0
    span = float(start_ms[-1] - start_ms[0]) if mean > 0 else 0.0
    if span >= _DAYS_MIN * DAY_MS:
        factor = _factors(counts / mean, hours % 24, factor[:24])[np.arange(HOURS) % 24]
    if span >= _WEEKS_MIN * 7 * DAY_MS:
        factor = _factors(counts / mean, hours, factor)
    return factor


def _factors(ratio: Floats, keys: Ints, before: Floats) -> Floats:
    """Factor of each key from panes' ratios ``(n,)``, pooled with what was thought ``before`` by how sure it is."""
    seen = np.bincount(keys, minlength=len(before))
    own = np.bincount(keys, weights=ratio, minlength=len(before)) / np.maximum(seen, 1)
    rest = (ratio - own[keys]) ** 2
    # Panes spread with their mean: how much is read off all of them, and a little beside it off hours of none.
    spread = rest.sum() / max(float((own * np.maximum(seen - 1, 0)).sum()), 1e-9)
    error = spread * np.maximum(before, 0.01) / np.maximum(seen, 1)
    differs = np.maximum(((own - before) ** 2 - error)[seen > 0].mean(), 0.0)
    trust = np.where(seen > 0, differs / np.maximum(differs + error, 1e-12), 0.0)
    return before + trust * (own - before)


def _dispersion(counts: Floats, mean: Floats) -> float:
    """Size of the negative binomial by moments, over all slices: Σ((n − μ)² − μ) = Σμ² / size."""
    excess, squares = float(((counts - mean) ** 2 - mean).sum()), float((mean**2).sum())
    return float(np.clip(squares / excess, 0.05, _DISPERSION_MAX)) if excess > 0 and squares > 0 else _DISPERSION_MAX
