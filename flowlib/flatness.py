"""How far histograms are from flat: what PIT is while the model holds."""

from __future__ import annotations

import numpy as np

from flowlib.table import Floats, Ints


def distance(pit: Ints) -> Floats:
    """Total variation of ``(d, b)`` counts from flat less its expectation under chance, ``(d,)`` ≥ 0.

    >>> distance(np.array([[50, 50], [100, 0], [0, 0]])).round(2).tolist()
    [0.0, 0.46, 0.0]
    """
    n, bins = np.maximum(pit.sum(axis=1), 1), pit.shape[1]
    raw = 0.5 * np.abs(pit / n[:, None] - 1.0 / bins).sum(axis=1)
    chance = 0.5 * bins * np.sqrt(2.0 / np.pi * (1 - 1 / bins) / (bins * n))
    return np.asarray(np.where(pit.sum(axis=1) > 0, np.maximum(raw - chance, 0.0), 0.0))
