"""VUS-PR: the volume under the range-aware precision-recall surface, as TSB-AD scores.

Paparrizos et al., "Volume Under the Surface", PVLDB 15(11), 2022; Liu & Paparrizos, "The Elephant in the Room: Towards
a Reliable Time-Series Anomaly Detection Benchmark", NeurIPS 2024. Labels are widened by a slope of up to ℓ/2 rows on
both sides of every anomaly, for each ℓ from 0 to L; recall is multiplied with the share of anomalies that a detection
touches; the mean of the areas over all ℓ is the figure. Thresholds are the scores at 250 ranks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

THRESHOLDS = 250
_LAGS, _BASE, _DEFAULT = 400, 3, 125


def period(x: Floats) -> int:
    """L of a set: the lag, 6 to 303, where the autocorrelation of its first column peaks; 125 without one.

    >>> period(np.sin(np.arange(2_000) * 2 * np.pi / 40))
    40
    """
    x = x[:20_000] - x[:20_000].mean()
    power = np.abs(np.fft.rfft(x, 2 * len(x))) ** 2
    correlation = (np.fft.irfft(power)[: _LAGS + 1] / max(power.mean(), 1e-300))[_BASE:]
    inner = correlation[1:-1]
    peaks = np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:])) + 1
    if not len(peaks):
        return _DEFAULT
    best = int(peaks[np.argsort(correlation[peaks])[-1]])
    return best + _BASE if _BASE <= best <= 300 else _DEFAULT


def vus_pr(score: Floats, label: Ints, window: int) -> float:
    """Mean area under the precision-recall curve over widenings 0 to ``window``.

    Args:
        score: ``(n,)``, larger is stranger.
        label: ``(n,)`` of 0 and 1, at least one of each.
        window: L.

    >>> label = np.zeros(300, dtype=int)
    >>> label[100:120] = 1
    >>> vus_pr(label + 0.0, label, 0) > 0.95 > 0.2 > vus_pr(1.0 - label, label, 0)
    True
    """
    n = len(score)
    order = np.argsort(-score, kind="stable")
    limits = score[order][np.linspace(0, n - 1, THRESHOLDS).astype(int)]
    predicted = np.searchsorted(-score[order], -limits, side="right")  # rows at or above each limit
    segments = _segments(label)
    inside = _sum_at(label.astype(np.float64), order, predicted)
    areas = []
    for width in range(window + 1):
        slopes = _slopes(label, segments, width)
        outside = _sum_at(np.where(label > 0, 0.0, slopes), order, predicted)
        highest = np.sort([score[a : b + 1].max() for a, b in _joined(segments, width, n)])
        touched = 1.0 - np.searchsorted(highest, limits, side="left") / len(highest)
        positives = label.sum() + outside / 2.0
        recall = np.minimum((inside + outside) / positives, 1.0) * touched
        areas.append(float(np.diff(recall, prepend=0.0) @ ((inside + outside) / predicted)))
    return float(np.mean(areas))


def _sum_at(values: Floats, order: Ints, predicted: Ints) -> Floats:
    return np.append(0.0, np.cumsum(values[order]))[predicted]


def _segments(label: Ints) -> list[tuple[int, int]]:
    edges = np.diff(label, prepend=0, append=0)
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def _slopes(label: Ints, segments: list[tuple[int, int]], width: int) -> Floats:
    n, half = len(label), width // 2
    wide = label.astype(np.float64)
    for first, last in segments:
        after = np.arange(last + 1, min(last + half + 1, n))
        before = np.arange(max(first - half, 0), first)
        wide[after] += np.sqrt(1 - (after - last) / max(width, 1))
        wide[before] += np.sqrt(1 - (first - before) / max(width, 1))
    return np.minimum(wide, 1.0)


def _joined(segments: list[tuple[int, int]], width: int, n: int) -> list[tuple[int, int]]:
    """Widened segments, those that meet as one."""
    half = width // 2
    joined: list[tuple[int, int]] = []
    for first, last in segments:
        if joined and joined[-1][1] >= first - half:
            joined[-1] = (joined[-1][0], last + half)
        else:
            joined.append((max(first - half, 0), last + half))
    return [(first, min(last, n - 1)) for first, last in joined]
