"""Missing values: a column's share of them has grown."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless, shares
from stream_app.stages.detection.detectors.counting import Bets

_ODDS = np.array([3.0, 10.0, 40.0])
_ZONE = 0.003


class MissingDetector(Stateless):
    """One channel a column. The variance ratio of the reference allows for outages that come in runs."""

    name: ClassVar[str] = "missing"
    kind: ClassVar[Kind] = "fault"
    weight: ClassVar[float] = 0.3

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._names, self.channels, self.bets = config.event.numeric, layout.d, len(_ODDS)
        self._each = np.ones(self.channels, dtype=bool)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        missing, seen = part.layout.get(part.rows, "missing"), part.layout.get(part.rows, "seen")[:, None]
        rows = part.known[:, None] * self.channels + np.arange(self.channels)
        log_e = part.once("missing", _bets).at(rows, missing, seen)
        return Evidence(log_e, (seen > 0) & self._each)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        return Said((self._names[channel],), "up", "share missing", "more values are missing than usual")

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`."""
        missing, seen = part.layout.get(part.rows, "missing")[rows, channels], part.layout.get(part.rows, "seen")[rows]
        return shares(missing, seen, part.reference.missing[part.known[rows], channels])


def _bets(reference: Reference) -> Bets:
    normal = reference.missing * 1.2 + 2.0 * reference.missing_se + _ZONE
    return Bets.of(normal, _ODDS, reference.missing_inflation).table
