"""SKAB's own scorer, written anew from its published rules.

Katser & Kozitsin, *Skoltech Anomaly Benchmark*, 2020. Outliers: counts of rows, added up over all files, then F1, false
alarm rate and missing alarm rate. Change points: a window of 60 s to the right of each, of which the first alarm counts
and earns more the earlier it comes; an alarm outside and a window without one cost; 0 for a detector that never alarms,
100 for a perfect one. Hotelling's T² with Q gets its published figures (``skab.t2_q``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

WINDOW_S = 60

PROFILES = {"standard": (1.0, 0.11, 1.0), "low_fp": (1.0, 0.22, 1.0), "low_fn": (1.0, 0.11, 2.0)}
"""What a change that is found at once earns, what a false alarm costs, what a missed change costs."""


@dataclass(frozen=True)
class Outliers:
    """``f1`` in 0–1, ``far`` and ``mar`` in percent: as the leaderboard gives them, without its rounding."""

    f1: float
    far: float
    mar: float


def outliers(pairs: Iterable[tuple[Bools, Bools]]) -> Outliers:
    """From (true, predicted) rows of each file.

    >>> outliers([(np.array([True, True, False, False]), np.array([True, False, True, False]))])
    Outliers(f1=0.5, far=50.0, mar=50.0)
    """
    counts = np.zeros((2, 2))
    for true, predicted in pairs:
        np.add.at(counts, (true.astype(int), predicted.astype(int)), 1)
    (right, false), (missed, found) = counts
    return Outliers(
        float(found / (found + (false + missed) / 2)),
        float(100 * false / (false + right)),
        float(100 * missed / (missed + found)),
    )


@dataclass(frozen=True)
class Changes:
    """Scores of the three profiles, and counts over all files; ``delay_s`` is the mean of those found."""

    standard: float
    low_fp: float
    low_fn: float
    missed: int
    false: int
    delay_s: float


def changes(files: Iterable[tuple[Ints, Sequence[int], Sequence[int]]]) -> Changes:
    """From (seconds of all rows ascending, seconds of the true changes, seconds of the alarms) of each file."""
    delays: list[float] = []
    earned = np.zeros(3)
    missed = false = 0
    for _, true, alarms in files:
        windows = _windows(true)
        alarm = np.asarray(alarms, dtype=np.int64)
        used = np.zeros(len(alarm), dtype=bool)
        for first, last in windows:
            inside = (alarm >= first) & (alarm <= last)
            used |= inside
            if inside.any():
                delays.append(float(alarm[inside][0] - first))
                earned += [_worth(delays[-1] / (last - first), found, lost) for found, lost, _ in PROFILES.values()]
            else:
                missed += 1
        false += int((~used).sum())
    every = len(delays) + missed
    scores = []
    for total, (found, lost, cost) in zip(earned, PROFILES.values(), strict=True):
        score, null = total - lost * false - cost * missed, -cost * every
        scores.append(float(100 * (score - null) / (every * found - null)))
    return Changes(scores[0], scores[1], scores[2], missed, false, float(np.mean(delays)) if delays else float("nan"))


def _windows(true: Sequence[int]) -> list[tuple[float, float]]:
    """Where two overlap the later one begins where the earlier one ends."""
    windows: list[tuple[float, float]] = []
    for at in sorted(true):
        start = max(at, windows[-1][1]) if windows else at
        windows.append((float(start), float(at + WINDOW_S)))
    return windows


def _worth(position: float, found: float, lost: float) -> float:
    """What an alarm earns at a position in its window, 0 to 1: from ``found`` down to minus ``lost``, by tanh."""
    grid = np.linspace(-np.pi / 2, np.pi / 2, 1_000)
    x = grid[min(int(position * 1_000), 999)]
    return float(-(found + lost) / 2 * np.tanh(x) / np.tanh(np.pi / 2) + (found - lost) / 2)
