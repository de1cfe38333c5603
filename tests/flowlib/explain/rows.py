"""Rows for explanations: whole ones of the known law, and ones with a value changed."""

from __future__ import annotations

import numpy as np

from flowlib.table import Table
from tests.flowlib.conftest import draw


def complete(n: int, seed: int) -> Table:
    """Rows without gaps: b given the rest is N(0.8 a, 0.6²), whatever c and the category are."""
    rows = draw(2 * n, seed)
    return rows.take(np.flatnonzero(~np.isnan(rows.numeric).any(axis=1))[:n])


def changed(rows: Table, column: int, values: object) -> Table:
    numeric = rows.numeric.copy()
    numeric[:, column] = values
    return rows.with_numeric(numeric)
