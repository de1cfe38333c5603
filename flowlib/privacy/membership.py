"""An attack on a model: from its likelihoods, guess which rows it was trained on.

The loss-threshold attack of Yeom et al., "Privacy Risk in Machine Learning", arXiv 1709.01604: call a row a member if
the model finds it likely. Members and others must be drawn from the same law (rows left out at random, not other days),
or the attack measures drift. Given the differences from the log-likelihoods of a model trained on neither, it is the
difficulty-calibrated attack (Watson et al., arXiv 2111.08440), the offline form of LiRA with one shadow model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from flowlib.intervals import NORMAL_95
from flowlib.table import Floats

MEMBERS_MIN = 20
"""Least number of members and of others."""


@dataclass(frozen=True)
class Membership:
    """The attack's success; an advantage of 0 and an AUC of ½ are no better than guessing.

    Attributes:
        advantage: share of members found less share of others taken for members, at a threshold chosen on other rows.
        advantage_95: its 95 % interval.
        auc: chance that a member is the likelier of a member and another row.
        auc_95: its 95 % interval (Hanley & McNeil 1982, Radiology 143).
        rows: members and others, the lesser number.
    """

    advantage: float
    advantage_95: tuple[float, float]
    auc: float
    auc_95: tuple[float, float]
    rows: int


def membership_advantage(inside: Floats, outside: Floats) -> Membership:
    """Attack a model.

    Args:
        inside: ``(n,)`` log-likelihoods of rows it was trained on, nats.
        outside: ``(m,)`` of rows of the same law that it was not trained on.

    Raises:
        ValueError: fewer than 20 of either, or values that are not finite.
    """
    if min(len(inside), len(outside)) < MEMBERS_MIN or not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise ValueError(
            f"the attack needs {MEMBERS_MIN} members and {MEMBERS_MIN} others or more, all finite; "
            f"got {len(inside)} and {len(outside)}"
        )
    auc, auc_95 = _auc(inside, outside)
    # Chosen on every other row and judged on the rest: the best of many thresholds looks good by chance alone.
    threshold = _best_threshold(inside[::2], outside[::2])
    hit_rate, false_rate = float(np.mean(inside[1::2] >= threshold)), float(np.mean(outside[1::2] >= threshold))
    error = math.sqrt(_variance(hit_rate, len(inside[1::2])) + _variance(false_rate, len(outside[1::2])))
    gap = hit_rate - false_rate
    interval = (max(gap - NORMAL_95 * error, -1.0), min(gap + NORMAL_95 * error, 1.0))
    return Membership(gap, interval, auc, auc_95, min(len(inside), len(outside)))


def _best_threshold(inside: Floats, outside: Floats) -> float:
    values = np.unique(np.concatenate([inside, outside]))
    hit_rate = 1.0 - np.searchsorted(np.sort(inside), values, side="left") / len(inside)
    false_rate = 1.0 - np.searchsorted(np.sort(outside), values, side="left") / len(outside)
    return float(values[np.argmax(hit_rate - false_rate)])


def _variance(share: float, n: int) -> float:
    smoothed = (share * n + 1.0) / (n + 2.0)  # a share of 0 or 1 of a few rows is not certain
    return smoothed * (1.0 - smoothed) / n


def _auc(inside: Floats, outside: Floats) -> tuple[float, tuple[float, float]]:
    n, m = len(inside), len(outside)
    ranks = rankdata(np.concatenate([inside, outside]))
    auc = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (n - 1) * (q1 - auc * auc) + (m - 1) * (q2 - auc * auc)) / (n * m)
    error = math.sqrt(max(variance, 0.0))
    return auc, (max(auc - NORMAL_95 * error, 0.0), min(auc + NORMAL_95 * error, 1.0))
