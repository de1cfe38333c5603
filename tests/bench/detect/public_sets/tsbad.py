"""TSB-AD-M's Genesis and Daphnet by VUS-PR: the product's default model on the rows as they are.

:class:`flowlib.FlowDensity` with its defaults (``maf``), fitted on the benchmark's training rows; the score is the
surprise, averaged over the rows around each one. How many rows is chosen on the *other* of the two sets. L of VUS-PR is
the benchmark's, from the first column's autocorrelation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.bench.detect.public_sets.ours import centred_mean, strangeness
from tests.bench.detect.public_sets.vus import period, vus_pr

SETS = {
    "Genesis": ("tsbad_m_001_genesis", 4_055, ("KMeansAD", 0.8909)),
    "Daphnet": ("tsbad_m_018_daphnet", 9_693, ("USAD", 0.3405)),
}
"""File, training rows, best published."""

MEANS = (1, 10, 20, 40, 80)


def measure(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """A row for each set, and one for each smoothing."""
    figures = {name: _figures(folder, *SETS[name][:2], flow="mixture" if quick else "maf") for name in SETS}
    rows = []
    for name, (_, _, (best, published)) in SETS.items():
        other = next(n for n in SETS if n != name)
        chosen = max(figures[other], key=figures[other].__getitem__)
        row = {"set": "TSB-AD-M", "metric": "VUS-PR", "published_best": published, "published_name": best}
        rows.append(row | {"subset": f"{name}, mean of {chosen} rows (left out)", "value": figures[name][chosen]})
        rows += [row | {"subset": f"{name}, mean of {k} rows", "value": v} for k, v in figures[name].items()]
    return rows


def _figures(folder: Path, file: str, train: int, flow: str) -> dict[int, float]:
    values = pl.read_csv(folder / f"{file}.csv.gz").to_numpy().astype(np.float64)
    x, label = values[:, :-1], values[:, -1].astype(np.int64)
    surprise = strangeness(x[:train], x, flow, rows_max=train).surprise
    return {k: round(vus_pr(centred_mean(surprise, k), label, period(x[:, 0])), 4) for k in MEANS}
