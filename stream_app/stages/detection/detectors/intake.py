"""What becomes of a slice's events: too many come late, cannot be scored, or are read leniently."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless, shares
from stream_app.stages.detection.detectors.counting import Bets

_ODDS = np.array([1.5, 2.0, 4.0])
_RUNS = 2.0
"""Variance ratio that is allowed for: such events come in runs."""

_SAYS = {
    "late": "events come late, after their panes have closed (windows.lateness)",
    "unscorable": "events cannot be scored (the dead letters say why)",
    "coerced": "events were read leniently, for what they hold is not written as it should be (event.policy)",
}
_COLUMNS = tuple(_SAYS)


class IntakeDetector(Stateless):
    """One channel for each way to be of less use, against the share that ``event.tolerated`` allows: no reference says
    what is normal. Of a source partition as a whole SCORE tells at once, without waiting for a pane.
    """

    name: ClassVar[str] = "intake"
    kind: ClassVar[Kind] = "fault"
    weight: ClassVar[float] = 0.1

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._tolerated = config.event.tolerated
        self._bets_on = Bets.of(np.array([config.event.tolerated]), _ODDS, np.array([_RUNS]))
        self.channels, self.bets = len(_COLUMNS), len(_ODDS)
        self._each = np.ones(self.channels, dtype=bool)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        hits, trials = self._counts(part)
        return Evidence(self._bets_on.log_e(hits, trials), (trials > 0) & self._each)

    def _counts(self, part: Part) -> tuple[Ints, Ints]:
        """Events ``(p, 3)`` that were of less use, each way, and all ``(p, 1)``."""
        seen, *counts = (part.layout.get(part.rows, name) for name in ("seen", *_COLUMNS))
        return np.stack(counts, axis=1), (seen + counts[0] + counts[1])[:, None]

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        return Said((), "up", "share", _SAYS[_COLUMNS[channel]])

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`: what is expected is what is tolerated."""
        hits, trials = self._counts(part)
        return shares(hits[rows, channels], trials[rows, 0], np.full(len(rows), self._tolerated))
