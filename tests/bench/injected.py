"""Anomalies made of normal rows, of the kinds of ADBench, and how well a density tells them from held-out rows.

Han et al., "ADBench: Anomaly Detection Benchmark", NeurIPS 2022, section 3.2: local, global, dependency and cluster
anomalies; here also in some of the columns only. What this score is worth as a criterion ``tests/bench/carry.py``
measures: how it ranks choices beside how they truly rank.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.metrics import roc_auc_score

from flowlib import FlowDensity
from flowlib.beside import COLUMNS
from flowlib.table import Table
from tests.bench.adbench import Floats

ROWS, FIT_ROWS = 300, 1_500
_FARTHER, _SPREAD, _CLUSTERS = 1.1, 5.0, 4


def anomalies(x: Floats, generator: np.random.Generator, m: int = ROWS) -> dict[str, Floats]:
    """``(m, d)`` of each kind, from normal rows ``(n, d)``."""
    (n, d), sd = x.shape, x.std(axis=0)
    low, high = x.min(axis=0), x.max(axis=0)

    def some() -> Floats:
        return np.asarray(x[generator.integers(n, size=m)])

    def mixed(others: Floats) -> Floats:
        here = generator.random((m, d)) < 0.5
        here[np.arange(m), generator.integers(d, size=m)] = True
        return np.where(here, others, some())

    anywhere = (low + high) / 2 + _FARTHER * (high - low) * generator.uniform(-0.5, 0.5, (m, d))
    apart = np.column_stack([x[generator.integers(n, size=m), j] for j in range(d)])
    factor = np.linalg.cholesky(np.cov(x, rowvar=False).reshape(d, d) + np.diag(1e-6 * sd * sd + 1e-12))
    away = generator.standard_normal((_CLUSTERS, d))
    centres = x[generator.integers(n, size=_CLUSTERS)] + 4 * sd * away / np.linalg.norm(away, axis=1, keepdims=True)
    column, pushed = some(), np.exp(generator.uniform(0, np.log(8), m)) * generator.choice([-1, 1], m)
    place = generator.integers(d, size=m)
    column[np.arange(m), place] += pushed * sd[place]
    return {
        "local": x.mean(axis=0) + np.sqrt(_SPREAD) * generator.standard_normal((m, d)) @ factor.T,
        "global": anywhere,
        "global, some columns": mixed(anywhere),
        "dependency": apart,
        "dependency, some columns": mixed(apart),
        "cluster": centres[generator.integers(_CLUSTERS, size=m)] + 0.1 * (some() - x.mean(axis=0)),
        "column": column,
    }


JOINS: dict[str, tuple[float, float] | None] = {
    "likelihood": (0.0, 0.0),
    "columns": (0.0, 0.7),
    "mixture": (1.0, 0.0),
    "mixture, columns": (1.0, COLUMNS),
    "mixture, columns as they agree": None,
}
"""Weights of mixture and columns beside the likelihood; None for the model's own, which are the default's."""


def joined(model: FlowDensity, rows: Floats) -> dict[str, Floats]:
    """``(m,)`` how strange rows are by each of :data:`JOINS`, from one fit; what cannot be scored is strangest."""
    density = model.density_
    scores, calibration = density.score(Table.of(rows)), density.calibration
    found = {}
    for name, weights in JOINS.items():
        chosen = calibration.weights if weights is None else np.array(weights)[-len(calibration.weights) :]
        surprise = replace(calibration, weights=chosen).surprise(scores.log_prob, scores.distance)
        strange = -scores.log_prob if name == "likelihood" else surprise
        found[name] = np.where(scores.scorable, strange, np.finfo(float).max)
    return found


def injected_scores(x: Floats, maps: tuple[str, ...], seed: int) -> dict[str, float]:
    """For each of :data:`JOINS` the mean AUROC over the kinds, of a density of some rows; a third is held out."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    held_out, learnt = x[order[: len(x) // 3]][:FIT_ROWS], x[order[len(x) // 3 :]][:FIT_ROWS]
    model = FlowDensity(maps=maps, random_state=seed).fit(learnt)
    normal = joined(model, held_out)
    scores: dict[str, list[float]] = {name: [] for name in JOINS}
    for rows in anomalies(learnt, generator).values():
        for name, strange in joined(model, rows).items():
            both = np.concatenate([normal[name], strange])
            scores[name].append(float(roc_auc_score(np.arange(len(both)) >= len(held_out), both)))
    return {name: float(np.mean(of)) for name, of in scores.items()}
