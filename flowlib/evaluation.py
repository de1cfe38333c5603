"""How good a density is on rows it has never seen: figures with intervals.

Rows of one day resemble each other: standard errors take groups of rows (days) as units (Liang & Zeger 1986).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib import notebook
from flowlib.copies import newest, units
from flowlib.density import Density, Scores
from flowlib.encoder.encoder import Encoder
from flowlib.flatness import distance
from flowlib.intervals import NORMAL_95, wilson
from flowlib.leaning import Lean, leaning
from flowlib.pit import HALF_LOG_TWO_PI, pit_histogram
from flowlib.table import Bools, Floats, Ints, Objects, Singles, Table

ALPHAS = np.geomspace(1e-3, 1.0, 61)
"""Levels of the calibration curve."""

ALARM_ALPHA = 0.01
"""Level at which rows count as alarms."""

_TWO_SAMPLE_ROWS = 4_000
_FOLDS = 5
_SLICE_ROWS_MIN = 30


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceFigures:
    """One slice: the figures of :class:`Evaluation`, and the column whose PIT is furthest from flat."""

    name: str
    rows: int
    log_prob: Estimate
    alarms: Estimate
    worst_column: str
    worst_distance: float
    curve: Floats


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on rows that neither trained nor calibrated it.

    Attributes:
        rows, scorable: counts.
        groups: units of the intervals.
        log_prob: mean log-likelihood, nats in raw space.
        bits_per_dim: ``−log_prob / (d log 2)``, comparable on the same columns and units only.
        over: baseline to the mean gain over it on the same rows, nats an event.
        alarms: share of p ≤ :data:`ALARM_ALPHA`.
        curve: ``(61,)`` share of p ≤ α for α in :data:`ALPHAS`.
        pit: ``(d, 20)`` counts, flat where the model fits.
        distance: ``(d,)`` total variation of each PIT histogram from flat, see :func:`distance`.
        leans: columns whose values lie elsewhere than the model expects, the furthest first.
        two_sample: AUC of a classifier between rows and samples, see :func:`two_sample`.
        days_apart: AUC of the same classifier between rows and those of other days; None where none were given.
        giveaway: ``(d,)`` AUC lost without each column.
        slices: slices of 30 rows or more, most rows first.
        missing: ``(d, 2)`` share of gaps in training and here.
        findings: sentences on the columns.
        left_out: baseline to why there are no figures against it.
    """

    rows: int
    scorable: int
    groups: int
    log_prob: Estimate
    bits_per_dim: Estimate
    over: dict[str, Estimate]
    alarms: Estimate
    curve: Floats
    pit: Ints
    distance: Floats
    leans: list[Lean]
    two_sample: Estimate
    days_apart: Estimate | None
    giveaway: Floats
    slices: list[SliceFigures]
    missing: Floats
    findings: list[str]
    left_out: dict[str, str]

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook.of_evaluation(self)


def evaluate(
    density: Density,
    rows: Table,
    groups: Ints,
    seed: int = 0,
    baselines: dict[str, Floats] | None = None,
    left_out: dict[str, str] | None = None,
    others: tuple[Table, Ints] | None = None,
) -> Evaluation:
    """Measure a model on rows that neither trained nor calibrated it.

    Args:
        density: the model.
        rows: n rows.
        groups: ``(n,)`` group of each row (its day), the units of the intervals.
        seed: of samples and folds.
        baselines: name to ``(n,)`` log-likelihoods of the same rows, nats in raw space.
        left_out: name of a baseline to why it could not be fitted.
        others: rows of other days and the group of each: how far days can be told apart bounds what samples can do.

    Raises:
        ValueError: none of the rows can be scored.
    """
    scorable = density.score(rows).scorable
    if not scorable.any():
        raise ValueError("none of the rows can be scored")
    subset, group = rows.take(scorable), groups[scorable]
    scores = density.score(subset)
    log_prob, per_bit = mean(scores.log_prob, group), -len(density.spec.numeric) * np.log(2.0)
    # Of a rounded column the PIT is drawn from its cell: at the centre it could not be flat.
    spread = density.score(density.encoder.dequantize(subset, np.random.default_rng(seed))).pit
    pit = pit_histogram(spread, scores.missing)
    auc, giveaway = two_sample(density, subset, group, seed)
    gains = {name: scores.log_prob - baseline[scorable] for name, baseline in (baselines or {}).items()}
    return Evaluation(
        rows=len(rows),
        scorable=len(subset),
        groups=len(np.unique(group)),
        log_prob=log_prob,
        bits_per_dim=Estimate(log_prob.value / per_bit, log_prob.high / per_bit, log_prob.low / per_bit),
        over={name: mean(gain, group) for name, gain in gains.items()},
        alarms=share(scores.p_value <= ALARM_ALPHA, group),
        curve=curve(scores.p_value),
        pit=pit,
        distance=distance(pit),
        leans=leaning(density.spec.numeric, spread, scores.missing, group),
        two_sample=auc,
        days_apart=apart(subset, group, *others, seed) if others is not None and len(others[0]) else None,
        giveaway=giveaway,
        slices=_slices(density, scores, spread, subset.slices, group),
        missing=np.column_stack([density.encoder.missing_share, np.isnan(rows.numeric).mean(axis=0)]),
        findings=[finding.says for finding in density.encoder.findings],
        left_out=dict(left_out or {}),
    )


def mean(values: Floats, groups: Ints) -> Estimate:
    """Mean with a 95 % interval whose standard error takes groups as units.

    >>> round(mean(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])).high, 2)
    3.96
    """
    centre = float(values.mean())
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, weights=values - centre)
    m = len(sums)
    error = float(np.sqrt((sums**2).sum() * m / max(m - 1, 1))) / len(values)
    return Estimate(centre, centre - NORMAL_95 * error, centre + NORMAL_95 * error)


def share(hits: Bools, groups: Ints, design: float = 1.0) -> Estimate:
    """Share with Wilson's interval for as many rows as the groups are worth (Kish's design effect).

    Args:
        hits: ``(n,)``.
        groups: ``(n,)`` the unit of each.
        design: the least design effect, where it is known from other rows: few hits do not tell it.
    """
    n, p = len(hits), float(hits.mean())
    effective = n / max(design, design_effect(hits, groups))
    low, high = wilson(p * effective, effective)
    return Estimate(p, float(low), float(high))


def design_effect(hits: Bools, groups: Ints) -> float:
    """How many rows count as one independent one (Kish 1965), 1 or more: hits come in clumps within groups."""
    normal = mean(hits.astype(np.float64), groups)
    n, p = len(hits), normal.value
    error, binomial = (normal.high - p) / NORMAL_95, np.sqrt(max(p * (1 - p), 1e-12) / n)
    return max(1.0, float((error / binomial) ** 2))


def curve(p_value: Floats) -> Floats:
    """Share of p ≤ α at each of :data:`ALPHAS`, ``(61,)``; where p-values hold it is α.

    >>> float(np.abs(curve(np.linspace(0.0, 1.0, 100_001)) - ALPHAS).max().round(4))
    0.0
    """
    return np.searchsorted(np.sort(p_value), ALPHAS, side="right") / len(p_value)


def _slices(density: Density, scores: Scores, pit: Singles, names: Objects, groups: Ints) -> list[SliceFigures]:
    figures = []
    slices, counts = np.unique(names.astype(str), return_counts=True)
    for i in np.argsort(-counts, kind="stable"):
        if counts[i] < _SLICE_ROWS_MIN:
            continue
        rows = names.astype(str) == slices[i]
        off = distance(pit_histogram(pit[rows], scores.missing[rows]))
        worst = int(off.argmax())
        figures.append(
            SliceFigures(
                str(slices[i]),
                int(counts[i]),
                mean(scores.log_prob[rows], groups[rows]),
                share(scores.p_value[rows] <= ALARM_ALPHA, groups[rows]),
                density.spec.numeric[worst],
                float(off[worst]),
                curve(scores.p_value[rows]),
            )
        )
    return figures


def two_sample(density: Density, rows: Table, groups: Ints, seed: int = 0) -> tuple[Estimate, Floats]:
    """How well gradient-boosted trees tell rows from draws with the same gaps, categories, slices and times.

    Lopez-Paz & Oquab, arXiv 1610.06545. Folds are made of whole groups.

    Returns:
        AUC over the folds held out, 0.5 where rows and draws cannot be told apart, and ``(d,)`` the AUC lost when a
        column is shuffled.
    """
    rows, groups = _some(rows, groups, seed)
    encoder, drawn = density.encoder, density.sample_given(rows, seed)
    one, other = (
        part.with_numeric(encoder.grids.on_finest(part.numeric, encoder.resolution)) for part in (rows, drawn)
    )
    return _told(one, other, groups, groups, seed)


def apart(rows: Table, groups: Ints, others: Table, of_others: Ints, seed: int = 0) -> Estimate:
    """How well the trees of :func:`two_sample` tell rows from those of other groups: what a model that does not know
    the groups cannot be better than.
    """
    (rows, groups), (others, of_others) = _some(rows, groups, seed), _some(others, of_others, seed)
    n = min(len(rows), len(others))
    return _told(rows.take(np.arange(n)), others.take(np.arange(n)), groups[:n], of_others[:n], seed)[0]


def _some(rows: Table, groups: Ints, seed: int) -> tuple[Table, Ints]:
    once = newest(units(rows))  # a copy in another fold would be recognised
    pick = once[np.random.default_rng(seed).permutation(len(once))[:_TWO_SAMPLE_ROWS]]
    return rows.take(pick), groups[pick]


def _told(one: Table, other: Table, groups: Ints, of_other: Ints, seed: int) -> tuple[Estimate, Floats]:
    """AUC of n rows against n others, and ``(d,)`` what of it is lost without each column."""
    # Half a second of imports that only this needs.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    d, every = one.numeric.shape[1], np.concatenate([groups, of_other])
    folds = min(_FOLDS, len(np.unique(groups)), len(np.unique(of_other)))
    if folds < 2:
        return Estimate(0.5, 0.0, 1.0), np.zeros(d)
    rng, x = np.random.default_rng(seed), np.clip(np.concatenate([one.numeric, other.numeric]), -1e30, 1e30)
    y = np.repeat([1, 0], len(one))
    probability = np.zeros((d + 1, len(y)))
    for train, test in GroupKFold(folds).split(x, y, every):
        model = HistGradientBoostingClassifier(max_iter=60, random_state=seed, early_stopping=False)
        model.fit(x[train], y[train])
        for j in range(d + 1):  # column d does not exist: the rows as they are
            shuffled = x[test].copy()
            if j < d:
                shuffled[:, j] = rng.permutation(shuffled[:, j])
            probability[j, test] = model.predict_proba(shuffled)[:, 1]
    auc = [float(roc_auc_score(y, row)) for row in probability]
    return hanley_mcneil(auc[d], len(one)), np.maximum(auc[d] - np.array(auc[:d]), 0.0)


def hanley_mcneil(auc: float, n: int) -> Estimate:
    """95 % interval of an AUC of n against n rows; Hanley & McNeil, Radiology 143 (1982), eq. 2."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = (auc * (1 - auc) + (n - 1) * (q1 - auc * auc) + (n - 1) * (q2 - auc * auc)) / (n * n)
    half = NORMAL_95 * float(np.sqrt(max(spread, 0.0)))
    return Estimate(auc, max(0.0, auc - half), min(1.0, auc + half))


def gaussian_log_prob(encoder: Encoder, train: Table, rows: Table) -> Floats:
    """Log-likelihood ``(n,)`` under one Gaussian over the same features, nats in raw space.

    Gaps and categories have their own factors, as in the density; of a row with gaps the Gaussian of the values present
    counts. For the fit rounded columns are spread over their cells, as for the flow.

    Raises:
        ValueError: fewer training rows without gaps than a covariance needs.
    """
    spread = encoder.dequantize(train, np.random.default_rng(0))
    fitted, encoded = encoder.encode(spread), encoder.encode(rows)
    whole = fitted.scorable & ~fitted.missing.any(axis=1)
    needed = fitted.missing.shape[1] + 1
    if whole.sum() < needed:
        few = (
            f"only {int(whole.sum())} of the training rows have no gap"
            if whole.any()
            else "every training row has a gap"
        )
        raise ValueError(f"{few}, and it is fitted on rows without gaps, {needed} at least")
    features = fitted.features[whole].astype(np.float64)
    centre = features.mean(axis=0)
    covariance = np.atleast_2d(np.cov(features.T)) + 1e-6 * np.eye(features.shape[1])
    flow = np.zeros(len(rows))
    patterns, codes = np.unique(encoded.missing, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        here, there = np.flatnonzero(codes.ravel() == i), np.flatnonzero(~pattern)
        if len(there):
            flow[here] = _normal(encoded.features[here][:, there] - centre[there], covariance[np.ix_(there, there)])
    beside = np.where(encoded.missing, encoded.ladj - HALF_LOG_TWO_PI, encoded.ladj) - encoded.tail_nats
    return np.asarray(flow + beside.sum(axis=1) + encoded.category_log_prob.sum(axis=1))


def _normal(x: Floats, covariance: Floats) -> Floats:
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, x.T)
    scale = np.log(np.diag(factor)).sum() + HALF_LOG_TWO_PI * len(covariance)
    return np.asarray(-0.5 * (z**2).sum(axis=0) - scale)
