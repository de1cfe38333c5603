"""The ADBench sets as cases: one set, one setting, one seed, the same rows for every contender.

Han et al., "ADBench: Anomaly Detection Benchmark", NeurIPS 2022. Two settings:

- ``normals``: trained on 70 % of the normal rows, tested on the other normals and all anomalies;
- ``unsupervised``: fitted on everything, anomalies included, and the same rows scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SETTINGS = ("normals", "unsupervised")
ROWS_MAX = 10_000
"""Larger sets are cut to it by a seeded draw; anomalies keep their share, but at least :data:`ANOMALIES_MIN`."""

ANOMALIES_MIN = 30
TRAIN_SHARE = 0.7


@dataclass(frozen=True)
class Case:
    """Rows to learn from and rows to score.

    Attributes:
        dataset, setting, seed: what it is.
        train: ``(n, d)`` float64, standardised by the training rows' means and deviations.
        test: ``(m, d)``, on the same scale; ``train`` itself in the unsupervised setting.
        anomalous: ``(m,)`` bool.
    """

    dataset: str
    setting: str
    seed: int
    train: Floats
    test: Floats
    anomalous: Bools

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.dataset}-{self.setting}-{self.seed}"


def set_names(folder: Path) -> list[str]:
    """Names of the sets under ``folder``; raises FileNotFoundError where there are none."""
    names = sorted(path.stem.split("_", 1)[1] for path in (folder / "adbench").glob("*_*.npz"))
    if not names:
        raise FileNotFoundError(
            f"no ADBench sets (*_NAME.npz) in {folder / 'adbench'}: pass the folder that holds adbench/"
        )
    return names


def load_case(folder: Path, dataset: str, setting: str, seed: int, rows_max: int = ROWS_MAX) -> Case:
    """Cut, split and standardise one set; the seed decides the rows."""
    (path,) = (folder / "adbench").glob(f"*_{dataset}.npz")
    with np.load(path) as arrays:
        x, y = arrays["X"].astype(np.float64), arrays["y"].astype(bool)
    generator = np.random.default_rng([seed, sum(dataset.encode())])
    rows = _cut(y, generator, rows_max)
    x, y = x[rows], y[rows]
    if setting == "unsupervised":
        x = _standardise(x, x)
        return Case(dataset, setting, seed, x, x, y)
    if setting != "normals":
        raise ValueError(f"unknown setting {setting!r}, expected one of {', '.join(SETTINGS)}")
    normal = np.flatnonzero(~y)
    learn = np.sort(generator.permutation(normal)[: round(TRAIN_SHARE * len(normal))])
    rest = np.setdiff1d(np.arange(len(y)), learn)
    return Case(dataset, setting, seed, _standardise(x[learn], x[learn]), _standardise(x[rest], x[learn]), y[rest])


def _cut(y: Bools, generator: np.random.Generator, rows_max: int) -> npt.NDArray[Any]:
    if len(y) <= rows_max:
        return generator.permutation(len(y))
    anomalies = min(int(y.sum()), max(ANOMALIES_MIN, round(rows_max * float(y.mean()))))
    chosen = generator.choice(np.flatnonzero(y), anomalies, replace=False)
    normals = generator.choice(np.flatnonzero(~y), rows_max - anomalies, replace=False)
    return generator.permutation(np.concatenate([chosen, normals]))


def _standardise(x: Floats, reference: Floats) -> Floats:
    spread = reference.std(axis=0)
    return np.asarray((x - reference.mean(axis=0)) / np.where(spread > 0, spread, 1.0), dtype=np.float64)
