"""What is kept of a slice over its spans: counts, likelihood, calibration. They add up, whatever the pane held."""

from __future__ import annotations

from functools import cache

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
    out = rows[:, _columns(layout)]
    out[:, COLUMNS["missing"].start] = layout.get(rows, "missing").sum(axis=1)
    return out


@cache
def _columns(layout: PaneLayout) -> Ints:
    """``(16,)`` which column of a row each of them is; of ``missing`` the first."""
    first = {name: layout.columns[name].start for name in COLUMNS}
    return np.concatenate([np.arange(place.stop - place.start) + first[name] for name, place in COLUMNS.items()])
