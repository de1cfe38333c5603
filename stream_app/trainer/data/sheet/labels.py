"""Labels that the other columns contradict: confident learning (Northcutt, Jiang and Chuang, *Confident Learning:
Estimating Uncertainty in Dataset Labels*, JAIR 70, 2021).

The joint distribution of given and true labels alone, of out-of-sample probabilities: the library of the paper's
authors (cleanlab 2.9, January 2026) would bring pandas and two more packages for these thirty lines.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from flowlib.table import Floats, Ints, Table
from stream_app.trainer.data.sheet.findings import Finding, Material, Severity

ROWS_MAX = 4_000
TOLD_SHARE, ERRORS_MAX = 0.02, 0.1
"""Share of labels that look wrong from which on it is told, and is severe."""
INFORMED = 0.5
"""Of the way from always naming the commonest label to no error that the other columns must lead."""
_NEIGHBOURS, _FOLDS, _LEVEL_MIN, _WIDE = 15, 5, 20, 0.5


def label_errors(m: Material) -> Iterator[Finding]:
    """The share of training rows whose label is confidently another one, where the other columns tell of it at all."""
    name, event = m.config.event.label_field, m.config.event
    if not name or not len(m.train):
        return
    step = np.unique(np.linspace(0, len(m.train) - 1, ROWS_MAX).astype(int))
    table, column = m.train.take(step), event.categorical.index(name)
    label, level = np.unique(table.categories[:, column].astype(str), return_inverse=True)
    kept = np.bincount(level)[level] >= _LEVEL_MIN
    table, (label, level) = table.take(kept), np.unique(label[level[kept]], return_inverse=True)
    if len(label) < 2:
        return
    p = _out_of_sample(_features(table, column), level, m.blocks.of(table))
    right = float(np.mean(p.argmax(axis=1) == level))
    commonest = float(np.bincount(level).max() / len(level))
    if right < commonest + INFORMED * (1.0 - commonest):
        return
    wrong = _confidently_another(p, level)
    share = float(wrong.mean())
    if share >= TOLD_SHARE:
        says = (
            f"{share:.1%} of the labels in {name} are contradicted by the other columns (confident learning on "
            f"{len(level):,} training rows): look at a sample of them with who enters them"
        )
        severity: Severity = "severe" if share > ERRORS_MAX else "warning"
        yield Finding("label errors", severity, (name,), {"share": share, "rows": len(level), "accuracy": right}, says)


def _features(table: Table, label: int) -> Floats:
    """Ranks of the numbers in [−1, 1], 0 where missing, and the other categories as indicators of their levels."""
    columns = []
    for x in table.numeric.T:
        there, rank = ~np.isnan(x), np.zeros(len(x))
        rank[there] = np.searchsorted(np.sort(x[there]), x[there]) / max(there.sum(), 1) * 2.0 - 1.0
        columns.append(rank)
    for number, names in enumerate(table.categories.T):
        if number != label:
            levels, level, count = np.unique(names.astype(str), return_inverse=True, return_counts=True)
            columns += [_WIDE * (level == i) for i in np.flatnonzero(count >= _LEVEL_MIN)[: len(levels)].tolist()]
    return np.stack(columns, axis=1)


def _out_of_sample(x: Floats, level: Ints, block: Ints) -> Floats:
    """``(n, levels)``: the shares of the labels among the nearest rows of other blocks."""
    p = np.zeros((len(level), int(level.max()) + 1))
    _, number = np.unique(block, return_inverse=True)
    fold = number * _FOLDS // (int(number.max()) + 1) if number.max() >= _FOLDS else np.arange(len(level)) % _FOLDS
    for one in range(_FOLDS):
        inside = fold == one
        if inside.any() and not inside.all():
            near = KNeighborsClassifier(min(_NEIGHBOURS, int((~inside).sum()))).fit(x[~inside], level[~inside])
            p[np.ix_(inside, near.classes_)] = near.predict_proba(x[inside])
    return p


def _confidently_another(p: Floats, level: Ints) -> Floats:
    """Which rows ``(n,)`` count off the diagonal of the confident joint: of the labels whose probability is above what
    it is on average for rows that have it, the likeliest is another one.
    """
    usual = np.array([p[level == one, one].mean() for one in range(p.shape[1])])
    confident = np.where(p >= usual, p, -1.0)
    return np.asarray((confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != level))
