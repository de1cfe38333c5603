"""What our detectors on the public sets share: the model on rows of a matrix, running means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowlib import FlowDensity, Table

Floats = npt.NDArray[np.float64]

ROWS_MAX = 2_500
"""Rows that train at most, a seeded draw of more: enough for a handful of columns."""


@dataclass(frozen=True)
class Strangeness:
    """Of n rows: ``nll``, nats, and ``surprise`` (:mod:`flowlib.calibration`); unscorable rows have the largest."""

    nll: Floats
    surprise: Floats


def strangeness(train: Floats, rows: Floats, flow: str, rows_max: int = ROWS_MAX, seed: int = 0) -> Strangeness:
    """:class:`flowlib.FlowDensity` with its own defaults, fitted on one matrix, asked about another."""
    if len(train) > rows_max:
        train = train[np.sort(np.random.default_rng(seed).choice(len(train), rows_max, replace=False))]
    model = FlowDensity(flow=flow, random_state=seed).fit(train)
    scores = model.density_.score(Table.of(rows))
    worst = float(np.max(-scores.log_prob[scores.scorable], initial=0.0))
    most = float(np.max(scores.surprise[scores.scorable], initial=0.0))
    return Strangeness(
        np.where(scores.scorable, -scores.log_prob, worst), np.where(scores.scorable, scores.surprise, most)
    )


def running_mean(x: Floats, k: int) -> Floats:
    """Mean of the last k rows, of fewer at the beginning; of one column or of several."""
    total = np.concatenate([np.zeros_like(x[:1]), np.cumsum(x, axis=0)])
    end = np.arange(1, len(x) + 1)
    start = np.maximum(end - k, 0)
    return np.asarray((total[end] - total[start]) / (end - start).reshape(-1, *[1] * (x.ndim - 1)))


def running_log_sd(x: Floats, k: int) -> Floats:
    """Logarithm of the deviation of the last k rows, kept from −∞ by a millionth of the largest value so far."""
    variance = running_mean(x * x, k) - running_mean(x, k) ** 2
    floor = 1e-6 * (np.maximum.accumulate(np.abs(x), axis=0) + 1e-9)
    return np.asarray(np.log(np.sqrt(np.maximum(variance, 0.0)) + floor))


def centred_mean(x: Floats, k: int) -> Floats:
    """Mean of the k rows around each one of a column, its ends repeated."""
    padded = np.concatenate([np.full(k // 2, x[0]), x, np.full(k - k // 2 - 1, x[-1])])
    return np.convolve(padded, np.full(k, 1.0 / k), mode="valid")
