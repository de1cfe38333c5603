"""Missingness: the share of missing values of the worst feature, beyond what the model was trained on.

The statistic is the lower end of Wilson's 95 % interval of the window's share (Wilson 1927) less the reference share,
so that a handful of gaps in a small slice says little.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib.intervals import wilson
from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Duration, RuleConfig
from stream_app.stages.watch.detectors.base import PaneView


class MissingDetector:
    """No options."""

    options = frozenset[str]()
    evidence = "share of missing values above normal"

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None:
        self._layout = layout

    def update(self, view: PaneView) -> Floats:
        """See :class:`Detector`."""
        seen = np.maximum(self._layout.get(view.window, "seen"), 1)[:, None]
        low, _ = wilson(self._layout.get(view.window, "missing"), seen)
        normal = np.array([reference.missing for reference in view.references]).reshape(low.shape)
        return np.asarray(np.maximum(low - normal, 0.0).max(axis=1, initial=0.0), dtype=np.float64)

    def to_state(self) -> Any:
        """Nothing to keep: the window is the state."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing to take back."""
