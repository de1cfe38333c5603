"""The Numenta Anomaly Benchmark's own scorer, written anew from its published rules.

Lavin & Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark", ICMLA 2015. The first
detection in a window earns more the earlier it comes; each one outside costs, less right behind a window; a window
without one costs. One threshold for the whole corpus, the best one for the profile, as NAB itself chooses it. The score
is 0 for a detector that finds nothing and 100 for a perfect one.

On the published detectors' scores (``nab_peer_scores.npz``) it gives the published scoreboard to the last digit, but
for thresholds that NAB's earlier optimiser missed (``htmjava``, ``random``: ours are up to 1 higher) and
``windowedGaussian``, whose scores next to 1 are ties in the float32 of that file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PROBATION = 0.15
"""Share of a series, of its first 5,000 rows at most, that is not scored."""

_MAX = 2.0 / (1.0 + np.exp(-5.0)) - 1.0


@dataclass(frozen=True)
class Profile:
    """What a found window, a false detection and a missed window weigh."""

    found: float
    false: float
    missed: float


PROFILES = {"standard": Profile(1.0, 0.11, 1.0), "low_fp": Profile(1.0, 0.22, 1.0), "low_fn": Profile(1.0, 0.11, 2.0)}


@dataclass(frozen=True)
class Labelled:
    """Rows of one series as the scorer sees them.

    Attributes:
        window: ``(n,)`` number of the window a row lies in, -1 outside.
        weight: ``(n,)`` what a detection there is worth: 0 to 1 in a window, -1 to 0 outside.
        scored: ``(n,)`` bool, behind the probation.
    """

    window: Ints
    weight: Floats
    scored: Bools


def probation_rows(n: int) -> int:
    """Rows at the start of a series of n that are not scored."""
    return int(np.ceil(min(np.floor(PROBATION * n), PROBATION * 5_000)))


def label(n: int, windows: Sequence[tuple[int, int]]) -> Labelled:
    """A series of n rows with its windows as first and last row, both inside, in order.

    >>> label(20, [(10, 14)]).weight.round(2)[8:18]
    array([-1.  , -1.  ,  0.99,  0.96,  0.91,  0.76,  0.46, -0.55, -0.85, -0.96])
    """
    window, position = np.full(n, -1), np.full(n, np.inf)
    for number, (first, last) in enumerate(windows):
        inside, width = np.arange(first, last + 1), last - first + 1
        window[inside] = number
        position[inside] = -(last - inside + 1) / width
        position[last + 1 :] = np.arange(1, n - last) / max(width - 1, 1)
    weight = np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)
    return Labelled(window, weight, np.arange(n) >= probation_rows(n))


@dataclass(frozen=True)
class Outcome:
    """A corpus scored under one profile.

    Attributes:
        score: 0 for nothing found, 100 for perfect.
        threshold: detections are the rows at or above it.
        found, windows: windows with a detection, and all.
        false: detections outside of windows.
    """

    score: float
    threshold: float
    found: int
    windows: int
    false: int


def score_corpus(
    labelled: Sequence[Labelled], scores: Sequence[Floats], profile: Profile, threshold: float | None = None
) -> Outcome:
    """Score a detector on all series at the best threshold, or at the given one.

    Args:
        labelled: the series.
        scores: of each series ``(n,)``, larger is stranger.
        profile: weights.
        threshold: detections are the rows at or above it; None to choose it for these series, as NAB does.
    """
    parts = [_gains(one, np.asarray(s, dtype=np.float64), profile) for one, s in zip(labelled, scores, strict=True)]
    value, gain, first, false = (np.concatenate([part[k] for part in parts]) for k in range(4))
    windows = sum(len(np.unique(one.window[one.scored & (one.window >= 0)])) for one in labelled)
    every = sum(int(one.window.max(initial=-1)) + 1 for one in labelled)
    order = np.argsort(-value, kind="stable")
    value, total = value[order], np.append(0.0, np.cumsum(gain[order]))
    ends = np.append(0, np.flatnonzero(np.append(value[1:] != value[:-1], True)) + 1)
    if threshold is None:
        end = int(ends[np.argmax(total[ends])])
    else:
        end = int(np.searchsorted(-value, -threshold, side="right"))
    return Outcome(
        100.0 * float(total[end]) / (every * profile.found + windows * profile.missed),
        float(value[end - 1]) if end and threshold is None else float("inf") if threshold is None else threshold,
        int(first[order][:end].sum()),
        windows,
        int(false[order][:end].sum()),
    )


def _gains(one: Labelled, score: Floats, profile: Profile) -> tuple[Floats, Floats, Bools, Bools]:
    """For each scored row, by falling score: score, what the corpus gains by it, finds a window, is false."""
    rows = np.flatnonzero(one.scored)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    window = one.window[rows]
    gain = np.where(window < 0, profile.false * one.weight[rows], 0.0)
    first = np.zeros(len(rows), dtype=bool)
    for number in np.unique(window[window >= 0]):
        at = np.flatnonzero(window == number)
        best = np.maximum.accumulate(one.weight[rows[at]] * profile.found / _MAX)
        gain[at] = np.diff(best, prepend=-profile.missed)
        first[at[0]] = True
    return score[rows], gain, first, window < 0
