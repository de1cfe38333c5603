"""Tennessee Eastman: fitted on the fault-free training run alone, asked about each of the 21 faults.

Three detectors, by the customary figures: false alarm rate on rows before the fault (160 of each faulty test run) and
on the fault-free test run, fault detection rate on the 800 rows behind it, delay until six rows in a row are alarms.

- ``ours, events``: the model's negative log-likelihood (``mixture`` on the 52 columns), averaged over ten rows, against
  the 99 % quantile of the same on the training run, each tenth of it scored by a model of the others;
- ``ours, drift``: the product with its default rules, trainer, SCORE and WATCH; a row counts as 24 minutes, a pane is
  2.4 hours or six rows, the run a slice. The share of panes in which something is found and not over is the rate;
- ``T² and Q``: principal components with .9 of the variance, limits by the same ten-fold scores: the peer.

Five hundred rows in a slow process say little about a limit, so that their false alarms differ: of the first and the
last there is also the mean rate at a limit that 1 % of all fault-free test rows exceed, the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from tests.bench.detect import product
from tests.bench.detect.public_sets.ours import Floats, running_mean, strangeness
from tests.bench.detect.streams import START_MS

FAULT_ROW, FAULTS, SMOOTH, IN_A_ROW = 160, range(1, 22), 10, 6
FOLDS, QUANTILE, EXPLAINED = 10, 0.99, 0.9
ROW_MS, ROWS_A_PANE = 24 * 60_000, 6

Scorer = Callable[[Floats, Floats], Floats]
"""(training rows, rows) to scores of the rows, larger is stranger."""


@dataclass(frozen=True)
class Runs:
    """Matrices of 52 columns: the training run, the fault-free test run, a run for each fault."""

    train: Floats
    quiet: Floats
    faults: dict[int, Floats]


def load(folder: Path) -> Runs:
    """From ``tep.csv.gz``."""
    frame = pl.read_csv(folder / "tep.csv.gz")
    names = [name for name in frame.columns if name.startswith(("xmeas", "xmv"))]

    def run(fault: int, split: str) -> Floats:
        rows = frame.filter((pl.col("fault") == fault) & (pl.col("split") == split)).sort("sample")
        return rows.select(names).to_numpy().astype(np.float64)

    return Runs(run(0, "train"), run(0, "test"), {fault: run(fault, "test") for fault in FAULTS})


def measure(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of each detector and fault, and of their means."""
    runs = load(folder)
    if quick:
        runs = Runs(runs.train, runs.quiet, {fault: runs.faults[fault] for fault in (1, 3, 11)})
    events = _points("ours, events", runs, lambda train, rows: strangeness(train, rows, "mixture").nll)
    return [*events, *_points("T² and Q", runs, t2_q), *_drift(runs)]


def t2_q(train: Floats, rows: Floats) -> Floats:
    """The larger of T² and Q, each over its mean on the training rows."""
    spread = train.std(axis=0)
    train, rows = ((x - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0) for x in (train, rows))
    values, vectors = np.linalg.eigh(np.cov(train.T))
    k = int(np.searchsorted(np.cumsum(values[::-1]) / values.sum(), EXPLAINED)) + 1
    main, rest = vectors[:, -k:], vectors[:, :-k]

    def both(x: Floats) -> Floats:
        return np.column_stack([((x @ main) ** 2 / values[-k:]).sum(axis=1), ((x @ rest) ** 2).sum(axis=1)])

    return np.asarray((both(rows) / both(train).mean(axis=0)).max(axis=1))


def _points(name: str, runs: Runs, scorer: Scorer) -> list[dict[str, Any]]:
    folds = np.array_split(np.arange(len(runs.train)), FOLDS)
    held = [scorer(np.delete(runs.train, fold, axis=0), runs.train[fold]) for fold in folds]
    limit = np.quantile(running_mean(np.concatenate(held), SMOOTH), QUANTILE)
    every = scorer(runs.train, np.concatenate([runs.quiet, *runs.faults.values()]))
    scores = np.split(every, np.cumsum([len(r) for r in (runs.quiet, *runs.faults.values())])[:-1])
    smooth = dict(zip((0, *runs.faults), (running_mean(score, SMOOTH) for score in scores), strict=True))
    quiet = np.concatenate([smooth[0], *(smooth[fault][:FAULT_ROW] for fault in runs.faults)])
    fair = np.quantile(quiet, QUANTILE)
    rate = float(np.mean([smooth[fault][FAULT_ROW:] > fair for fault in runs.faults]))
    row = {
        "set": "Tennessee Eastman",
        "subset": f"{name}, all faults, 1 % FAR",
        "metric": "FDR",
        "value": round(rate, 4),
    }
    return [row, *_rows(name, {fault: score > limit for fault, score in smooth.items()})]


def _drift(runs: Runs) -> list[dict[str, Any]]:
    names = [f"x{j:02d}" for j in range(runs.train.shape[1])]
    config = product.at_evidence(
        product.config_of(
            names,
            model={"flow": "mixture"},
            windows={"pane": f"{ROW_MS * ROWS_A_PANE // 60_000}m"},
            trainer={"min_rows": 100, "max_alarm_ratio": 20.0},  # 140 rows train, fewer than three a column
        ),
        2 * product.LEVEL,
    )

    def bodies(x: Floats, at: int) -> list[tuple[bytes | None, bytes | None]]:
        body = b'{"time":%d,"slice":"plant",' + b",".join(b'"%s":%%.7g' % name.encode() for name in names) + b"}"
        return [(b"plant", body % (START_MS + (at + i) * ROW_MS, *row)) for i, row in enumerate(x)]

    density = product.train(config, bodies(runs.train, 0))
    begins = -(-len(runs.train) // ROWS_A_PANE) * ROWS_A_PANE
    alarms = {}
    for fault, x in {0: runs.quiet, **runs.faults}.items():
        found = product.watch(config, density, bodies(x, begins), keep=False)
        alarms[fault] = _open(found, begins // ROWS_A_PANE, len(x))
    return _rows("ours, drift", alarms)


def _open(found: product.Watched, begins: int, n: int) -> Any:
    """``(n,)`` rows behind whose pane something is found, and not over."""
    alarm, until = np.zeros(n, dtype=bool), n
    for seen in found.seen:
        row = (seen.pane - begins + 1) * ROWS_A_PANE - 1
        alarm[row:until] = seen.state == "open"
    return alarm


def _rows(name: str, alarms: dict[int, Any]) -> list[dict[str, Any]]:
    """``alarms``: fault, 0 for none, to its rows that are alarms."""
    quiet = alarms[0]
    rows = [{"set": "Tennessee Eastman", "subset": f"{name}, fault-free", "metric": "FAR", "value": _rate(quiet)}]
    detected = []
    for fault, alarm in alarms.items():
        if fault:
            detected.append(_rate(alarm[FAULT_ROW:]))
            rows.append(
                {
                    "set": "Tennessee Eastman",
                    "subset": f"{name}, fault {fault}",
                    "metric": "FDR",
                    "value": detected[-1],
                    "far": _rate(alarm[:FAULT_ROW]),
                    "delay_rows": _delay(alarm[FAULT_ROW:]),
                }
            )
    return [
        {
            "set": "Tennessee Eastman",
            "subset": f"{name}, mean of {len(detected)} faults",
            "metric": "FDR",
            "value": round(float(np.mean(detected)), 4),
        },
        *rows,
    ]


def _rate(alarm: Any) -> float:
    return round(float(np.mean(alarm)), 4)


def _delay(alarm: Any) -> int | None:
    """Rows until the last of the first six alarms in a row."""
    runs = np.flatnonzero(sliding_window_view(alarm, IN_A_ROW).all(axis=1))
    return int(runs[0]) + IN_A_ROW if len(runs) else None
