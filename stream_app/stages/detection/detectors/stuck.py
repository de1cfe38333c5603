"""A stuck sensor: a column repeats its value pane after pane."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from flowlib.reference.reference import STILL_SIZES, VARIES, Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import NO_LOW, PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless
from stream_app.stages.detection.detectors.counting import Bets

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
        reference = part.reference
        low, high = part.layout.get(part.rows, "low"), part.layout.get(part.rows, "high")
        there, alike = low <= high, low == high
        last = self._before(part, there, np.where(alike, low, NO_LOW))
        still = alike & (low == last) & (low != reference.usual)
        bets = part.once("stuck", _bets)
        size = np.minimum(np.maximum(part.present, 1), STILL_SIZES).astype(np.int64) - 1
        rows = (part.known[:, None] * self.channels + np.arange(self.channels)) * STILL_SIZES + size
        return Evidence(bets.at(rows, still, there), there & (reference.kind == VARIES))

    def _before(self, part: Part, there: Bools, left: Ints) -> Ints:
        """The value ``(p, d)`` that the pane before repeated, where it had values: the last one that had any.

        Args:
            part: some panes.
            there: ``(p, d)`` whether a column has values.
            left: ``(p, d)`` what it leaves to the next pane where it has.
        """
        m = int(part.slices.max(initial=-1)) + 1
        if m > len(self._last):
            self._last = np.pad(self._last, ((0, m - len(self._last)), (0, 0)), constant_values=NO_LOW)
        before = np.empty_like(left)
        for a, b in part.spans:
            before[a:b] = self._last[part.slices[a:b]]
            self._last[part.slices[a:b]] = np.where(there[a:b], left[a:b], before[a:b])
        return before

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        return Said((self._names[channel],), "", "mean", "its value does not change any more")

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`."""
        return part.values(rows, channels)

    def keep(self, numbers: Ints) -> None:
        """See :class:`Detector`."""
        self._last = self._last[numbers[numbers < len(self._last)]]

    def to_state(self) -> Any:
        """See :class:`Detector`: the value that each slice's last pane repeated."""
        return self._last

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._last = np.array(state, dtype=np.int64)


def _bets(reference: Reference) -> Bets:
    """For each number of values that a pane may have ``(s + 1, d, 3)``."""
    normal = reference.still * 1.2 + 0.004
    return Bets.of(normal, _ODDS, np.broadcast_to(reference.still_inflation[:, :, None], normal.shape)).table
