"""What is kept of a slice over its spans: counts, likelihood, calibration. They add up, whatever the pane held."""

from __future__ import annotations

import numpy as np

from flowlib.table import Ints
from schemas.pane_layout import ALPHAS, PaneLayout

COLUMNS = {
    "seen": slice(0, 1),
    "late": slice(1, 2),
    "unscorable": slice(2, 3),
    "missing": slice(3, 4),
    "scored": slice(4, 5),
    "log_prob_sum": slice(5, 6),
    "log_prob_square_sum": slice(6, 7),
    "adaptive": slice(7, 8),
    "p_le": slice(8, 8 + len(ALPHAS)),
}
"""Column name to its place; ``missing`` counts values of all features together, ``adaptive`` events at or below the
level that follows their slice.
"""

WIDTH = 8 + len(ALPHAS)
MODEL_FREE = 4
"""Columns before this one do not depend on the model."""


def summary(layout: PaneLayout, rows: Ints) -> Ints:
    """Pane rows ``(m, w)`` as ``(m, 16)``."""
    out = np.empty((len(rows), WIDTH), dtype=np.int64)
    for name, place in COLUMNS.items():
        part = rows[:, layout.columns[name]]
        out[:, place] = part.sum(axis=1, keepdims=True) if name == "missing" else part
    return out
