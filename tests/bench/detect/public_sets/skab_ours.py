"""Our detectors on SKAB, the same for every file, causal, fitted on its first 400 rows alone.

Outliers: :class:`flowlib.FlowDensity` (``mixture``) on the running means of the eight sensors, fitted on the first 300
rows; all 400 calibrate, a hundred of them later than any that trained. A row is an outlier where its negative
log-likelihood exceeds their 99 % quantile by ``zone`` times that quantile's distance from their median, the zone of
change that does not matter: the testbed warms up all the while. Length of the mean and zone are chosen on the other two
groups of files (leave one of ``valve1``, ``valve2``, ``other`` out) by F1; figures are means over three seeds.

Changes: the same on the sensors less their running mean of a minute, the negative log-likelihood averaged over
``smooth`` rows: what is steady by now is no change. Where the alarms begin and end is one, as on the leaderboard.
``smooth`` and zone are chosen likewise, by the standard NAB score.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench.detect.public_sets import skab_scorer as scorer
from tests.bench.detect.public_sets.ours import Floats, running_mean, strangeness
from tests.bench.detect.public_sets.skab import TRAIN_ROWS, Run
from tests.bench.detect.public_sets.skab_scorer import Bools

LENGTHS, ZONES = (10, 15), (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
SMOOTHS, CHANGE_ZONES = (1, 5, 15, 30), tuple(np.arange(0.0, 4.01, 0.25).tolist())
SLOW, FITTED, SEEDS = 60, 300, 3

Option = tuple[int, float]
Predicted = dict[Option, list[Bools]]


def outliers(runs: list[Run], seed: int) -> Predicted:
    """The rows behind the training rows of every file that are called outliers, for each length and zone."""
    out: Predicted = {}
    for length in LENGTHS:
        scores = [_scores(running_mean(run.x, length)[length:], FITTED - length, seed) for run in runs]
        for zone in ZONES:
            out[length, zone] = [_beyond(s, TRAIN_ROWS - length, zone) for s in scores]
    return out


def changes(runs: list[Run]) -> Predicted:
    """Likewise the rows that are called changes, for each smoothing and zone."""
    raw = [_scores((run.x - running_mean(run.x, SLOW))[SLOW:], TRAIN_ROWS - SLOW) for run in runs]
    out: Predicted = {}
    for smooth, zone in itertools.product(SMOOTHS, CHANGE_ZONES):
        found = [_beyond(running_mean(s, smooth), TRAIN_ROWS - SLOW, zone) for s in raw]
        out[smooth, zone] = [np.diff(f, prepend=False) for f in found]
    return out


def _scores(rows: Floats, fitted: int, seed: int = 0) -> Floats:
    return strangeness(rows[:fitted], rows, "mixture", seed=seed).nll


def _beyond(score: Floats, train: int, zone: float) -> Bools:
    limit = np.quantile(score[:train], 0.99)
    return np.asarray(score[train:] > limit + zone * (limit - np.median(score[:train])))


Value = Callable[[list[Run], list[Bools]], float]


def f1(runs: list[Run], predicted: list[Bools]) -> float:
    """Of the outliers."""
    return found_outliers(runs, predicted).f1


def found_outliers(runs: list[Run], predicted: list[Bools]) -> scorer.Outliers:
    """The outliers' scores."""
    return scorer.outliers((run.anomaly[TRAIN_ROWS:], p) for run, p in zip(runs, predicted, strict=True))


def found_changes(runs: list[Run], predicted: list[Bools]) -> scorer.Changes:
    """The changes' scores."""
    times = [run.time_s[TRAIN_ROWS:] for run in runs]
    marks = [time[run.change[TRAIN_ROWS:]].tolist() for time, run in zip(times, runs, strict=True)]
    return scorer.changes((time, mark, time[p].tolist()) for time, mark, p in zip(times, marks, predicted, strict=True))


def standard(runs: list[Run], predicted: list[Bools]) -> float:
    """Of the changes."""
    return found_changes(runs, predicted).standard


def left_out(runs: list[Run], predicted: Predicted, value: Value) -> tuple[list[Bools], dict[str, Option]]:
    """Predictions of each file by the option that is best on the other groups."""
    final: list[Bools] = [np.zeros(0, dtype=bool)] * len(runs)
    chosen = {}
    for group in dict.fromkeys(run.group for run in runs):
        others = [i for i, run in enumerate(runs) if run.group != group]
        best = max(predicted, key=lambda o: value([runs[i] for i in others], [predicted[o][i] for i in others]))
        chosen[group] = best
        for i, run in enumerate(runs):
            if run.group == group:
                final[i] = predicted[best][i]
    return final, chosen


def rows_of(name: str, outliers: list[scorer.Outliers], change: scorer.Changes) -> list[dict[str, Any]]:
    """A detector's two rows; its outliers of several seeds are averaged."""
    return [
        {
            "set": "SKAB",
            "subset": f"outliers, {name}",
            "metric": "F1",
            "value": round(float(np.mean([o.f1 for o in outliers])), 3),
            "each_seed": [round(o.f1, 3) for o in outliers],
            "far": round(float(np.mean([o.far for o in outliers])), 2),
            "mar": round(float(np.mean([o.mar for o in outliers])), 2),
            "published_best": 0.78,
            "published_name": "Conv-AE (FAR 13.55, MAR 28.02), MSET",
        },
        {
            "set": "SKAB",
            "subset": f"change points, {name}",
            "metric": "NAB standard",
            "value": round(change.standard, 2),
            "low_fp": round(change.low_fp, 2),
            "low_fn": round(change.low_fn, 2),
            "found": 127 - change.missed,
            "of": 127,
            "false_alarms": change.false,
            "delay_s": round(change.delay_s, 1),
            "published_best": 32.42,
            "published_name": "MSCRED",
        },
    ]
