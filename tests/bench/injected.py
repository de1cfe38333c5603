"""Anomalies made of normal rows, of the kinds of ADBench, and how well a cheap density tells them from held-out rows.

Han et al., "ADBench: Anomaly Detection Benchmark", NeurIPS 2022, section 3.2: local, global, dependency and cluster
anomalies; here also in some of the columns only. What this score is worth as a criterion ``tests/bench/carry.py``
measures: how it ranks maps beside how they truly rank.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from flowlib import FlowDensity
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


def injected_score(x: Floats, maps: tuple[str, ...], seed: int) -> float:
    """Mean AUROC over the kinds of a Gaussian mixture behind the maps; a third of the rows is held out."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    held_out, learnt = x[order[: len(x) // 3]][:FIT_ROWS], x[order[len(x) // 3 :]][:FIT_ROWS]
    density = FlowDensity(flow="mixture", maps=maps, random_state=seed).fit(learnt)
    normal = -density.score_samples(held_out)
    scores = []
    for rows in anomalies(learnt, generator).values():
        strange = np.nan_to_num(np.concatenate([normal, -density.score_samples(rows)]), posinf=np.finfo(float).max)
        scores.append(roc_auc_score(np.arange(len(strange)) >= len(normal), strange))
    return float(np.mean(scores))
