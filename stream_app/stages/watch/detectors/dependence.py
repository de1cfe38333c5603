"""Dependence of two columns: they move together otherwise than they did."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.watch.detectors.base import Evidence, Part
from stream_app.stages.watch.detectors.moments import MomentDetector


class DependenceDetector(MomentDetector):
    """One channel a pair: sums of the products of two columns' scores. Base coordinates are independent while the model
    holds, so a product that has a mean is a dependence that was lost or gained.
    """

    name: ClassVar[str] = "dependence"
    weight: ClassVar[float] = 0.2
    used: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        super().__init__(2 * (layout.d + 1), layout.pairs)
        self._names = config.event.numeric
        self._pairs = np.zeros((layout.pairs, 2), dtype=np.int64)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        self._pairs = part.reference.pairs
        return super().evidence(part)

    def to_state(self) -> Any:
        """See :class:`Detector`: the pairs of the model in service, to name them by."""
        return self._pairs

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._pairs = np.array(state, dtype=np.int64)

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        a, b = (self._names[j] for j in self._pairs[channel])
        way = "in the same direction more" if self.size(odds) > 0 else "in opposite directions more"
        return (a, b), f"dependence: {a} and {b} move {way} than they did"
