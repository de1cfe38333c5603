"""SKAB: its files, the peer that checks the scorer, and our own detector on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from tests.bench.detect.public_sets import skab_scorer as scorer
from tests.bench.detect.public_sets.nab import seconds
from tests.bench.detect.public_sets.nab_scorer import Floats
from tests.bench.detect.public_sets.skab_scorer import Bools, Ints

TRAIN_ROWS = 400
"""Of each file, as on the leaderboard; the rest is scored."""


@dataclass(frozen=True)
class Run:
    """One labelled file.

    Attributes:
        name: ``group/number``.
        x: ``(n, 8)`` sensors.
        time_s: ``(n,)`` seconds.
        anomaly, change: ``(n,)`` bool.
    """

    name: str
    x: Floats
    time_s: Ints
    anomaly: Bools
    change: Bools

    @property
    def group(self) -> str:
        """Which valve or experiment."""
        return self.name.split("/")[0]


def load(folder: Path) -> list[Run]:
    """The 34 labelled files."""
    frame = pl.read_csv(folder / "skab.csv.gz", try_parse_dates=True, infer_schema_length=None)
    frame = frame.filter(pl.col("group") != "anomaly-free")
    sensors = frame.columns[3:11]
    return [
        Run(
            str(rows["experiment"][0]),
            rows.select(sensors).to_numpy().astype(np.float64),
            seconds(rows["datetime"]),
            rows["anomaly"].to_numpy() == 1,
            rows["changepoint"].to_numpy() == 1,
        )
        for rows in frame.partition_by("experiment", maintain_order=True)
    ]


Predict = Callable[[Run], Bools]
"""The rows of a file from the 401st on that are called outliers."""


def score(runs: list[Run], predicted: list[Bools]) -> tuple[scorer.Outliers, scorer.Changes]:
    """Both leaderboards; an alarm of a change is a row whose prediction differs from the one before."""
    behind = [slice(TRAIN_ROWS, None)] * len(runs)
    outliers = scorer.outliers((run.anomaly[b], p) for run, p, b in zip(runs, predicted, behind, strict=True))
    files = []
    for run, rows in zip(runs, predicted, strict=True):
        time, change = run.time_s[TRAIN_ROWS:], run.change[TRAIN_ROWS:]
        alarms = np.diff(rows.astype(int), prepend=0) != 0
        files.append((time, time[change].tolist(), time[alarms].tolist()))
    return outliers, scorer.changes(files)


def t2_q(run: Run, explained: float = 0.85, p: float = 0.999, window: int = 5) -> Bools:
    """Hotelling's T² and Q on principal components, with the leaderboard's settings and median filter.

    The leaderboard's code takes the residual eigenvalues in the order the solver gives them, unsorted: done so, its
    published figures come out to the last digit; sorted they would be .75, 32.0, 22.7.
    """
    train = run.x[:TRAIN_ROWS]
    x = (run.x - train.mean(axis=0)) / train.std(axis=0)
    train, test = x[:TRAIN_ROWS], x[TRAIN_ROWS:]
    values, vectors = np.linalg.eigh(np.cov(train.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    k = int(np.searchsorted(np.cumsum(values) / values.sum(), explained, side="right")) + 1
    n = len(train)
    t2_limit = k * (n - 1) * (n + 1) / (n * (n - k)) * stats.f.ppf(p, k, n - k)
    first, second, third = (float(np.linalg.eigvals(np.cov(train.T)).real[k:].sum()) ** i for i in (1, 2, 3))
    h = 1 - 2 * first * third / (3 * second**2)
    q_limit = first * (1 + stats.norm.ppf(p) * h * np.sqrt(2 * second) / first + second * h * (h - 1) / first**2) ** (
        1 / h
    )
    t2 = ((test @ vectors[:, :k]) ** 2 / values[:k]).sum(axis=1)
    q = ((test @ vectors[:, k:]) ** 2).sum(axis=1)
    smooth = [pl.Series(s).rolling_median(window).fill_null(0.0).to_numpy() for s in (t2, q)]
    return np.asarray((smooth[0] > t2_limit) | (smooth[1] > q_limit))


def measure(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Ours, and T² with Q, whose published figures the scorer must give."""
    from tests.bench.detect.public_sets import skab_ours as ours  # it needs the runs of this module

    runs = load(folder)
    if quick:
        runs = runs[::6]
    outlier = [ours.left_out(runs, ours.outliers(runs, seed), ours.f1) for seed in range(1 if quick else ours.SEEDS)]
    change, options = ours.left_out(runs, ours.changes(runs), ours.standard)
    print("outliers", [chosen for _, chosen in outlier], "changes", options, flush=True)
    found = [ours.found_outliers(runs, predicted) for predicted, _ in outlier]
    rows = ours.rows_of("ours, settings left out", found, ours.found_changes(runs, change))
    outlier_check, change_check = score(runs, [t2_q(run) for run in runs])
    return rows + ours.rows_of("T² and Q, the scorer's check", [outlier_check], change_check)
