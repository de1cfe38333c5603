"""A stuck sensor: a column repeats its value pane after pane."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from flowlib.reference.reference import STILL_SIZES, VARIES
from flowlib.table import Floats, Ints
from schemas.pane_layout import NO_LOW, PaneLayout
from stream_app.config import Config
from stream_app.stages.watch.detectors.base import Evidence, Kind, Part, Stateless
from stream_app.stages.watch.detectors.counting import bernoulli

_ODDS = np.array([20.0, 400.0])


class StuckDetector(Stateless):
    """One channel a column: panes whose values are all the same, and that of the pane before, but for the column's most
    frequent value: it may not rain for weeks. How often that is normal
    depends on how many values a pane has. A stuck sensor is constant in its own values, whatever the others do.
    """

    name: ClassVar[str] = "stuck"
    kind: ClassVar[Kind] = "fault"
    weight: ClassVar[float] = 0.2

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._names, self.channels, self.bets = config.event.numeric, layout.d, len(_ODDS)
        self._last = np.full((0, layout.d), NO_LOW, dtype=np.int64)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        reference, last = part.reference, self._of(part.slices)
        low, high = part.layout.get(part.rows, "low"), part.layout.get(part.rows, "high")
        there = low <= high
        alike = there & (low == high)
        still = alike & (low == last) & (low != reference.usual)
        self._last[part.slices] = np.where(alike, low, np.where(there, NO_LOW, last))
        size = np.clip(part.present, 1, STILL_SIZES).astype(np.int64) - 1
        normal = np.take_along_axis(reference.still[part.known], size[:, :, None], axis=2)[:, :, 0]
        inflation = reference.still_inflation[part.known]
        log_e = bernoulli(still.astype(np.float64), there.astype(np.float64), normal * 1.2 + 0.004, _ODDS, inflation)
        return Evidence(log_e, there & (reference.kind == VARIES))

    def _of(self, slices: Ints) -> Ints:
        m = int(slices.max(initial=-1)) + 1
        if m > len(self._last):
            self._last = np.pad(self._last, ((0, m - len(self._last)), (0, 0)), constant_values=NO_LOW)
        return np.asarray(self._last[slices])

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        return (self._names[channel],), "stuck: its value does not change any more"

    def to_state(self) -> Any:
        """See :class:`Detector`: the value that each slice's last pane repeated."""
        return self._last

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._last = np.array(state, dtype=np.int64)
