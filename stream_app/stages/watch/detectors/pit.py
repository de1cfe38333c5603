"""Per-feature PIT drift: how far a window's PIT histogram lies from the model's own reference.

The statistic is the largest total variation distance over features, less what sampling alone would give: with n rows in
b bins a multinomial's expected distance is about ``½·Σ_b sqrt(2·q_b(1−q_b)/(π·n))`` (normal approximation of the mean
absolute deviation), n divided by the ``dependence`` option. It measures the size of a move, not its significance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Duration, RuleConfig
from stream_app.stages.watch.detectors.base import PaneView

ROWS_MIN = 30


def distances(window: Ints, reference: Ints, dependence: float = 1.0) -> Floats:
    """Total variation distance beyond sampling noise, per feature.

    Args:
        window: ``(d, b)`` counts.
        reference: ``(d, b)`` counts.
        dependence: rows that count as one (1 when rows are independent).

    Returns:
        ``(d,)`` in [0, 1]; 0 for features with fewer than 30 rows.
    """
    n = window.sum(axis=1, keepdims=True)
    total = np.maximum(reference.sum(axis=1, keepdims=True), 1)
    q = (reference + 1.0) / (total + reference.shape[1])
    moved = 0.5 * np.abs(window / np.maximum(n, 1) - q).sum(axis=1)
    noise = 0.5 * np.sqrt(2 * q * (1 - q) / np.pi * dependence / np.maximum(n, 1)).sum(axis=1)
    return np.asarray(np.where(n[:, 0] >= ROWS_MIN, np.maximum(moved - noise, 0.0), 0.0), dtype=np.float64)


class PitDetector:
    """Options: ``dependence``, rows that count as one (default 6)."""

    options = frozenset({"dependence"})
    evidence = "distance of the PIT histogram"

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None:
        self._layout = layout
        self._dependence = rule.options.get("dependence", 6.0)

    def update(self, view: PaneView) -> Floats:
        """See :class:`Detector`."""
        windows = self._layout.pit(view.window)
        return np.array(
            [
                distances(window, reference.pit, self._dependence).max(initial=0.0)
                for window, reference in zip(windows, view.references, strict=True)
            ]
        )

    def to_state(self) -> Any:
        """Nothing to keep: the window is the state."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing to take back."""
