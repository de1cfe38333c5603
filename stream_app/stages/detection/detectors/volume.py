"""Volume: a slice has many fewer events, or many more, than usual at this hour of the week."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import Reference, volume_log_ratio
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless

_ZONE = 0.15


class VolumeDetector(Stateless):
    """One channel: negative-binomial likelihood ratios of the count against the rate that is normal at the hour."""

    name: ClassVar[str] = "volume"
    kind: ClassVar[Kind] = "fault"
    weight: ClassVar[float] = 0.25
    everywhere: ClassVar[bool] = True
    factors: ClassVar[tuple[float, ...]] = (0.25, 0.5, 2.0, 4.0)
    channels = 1

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._factors, self.bets = np.array(self.factors), len(self.factors)
        self._fewer = self._factors < 1

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        n, usual = part.layout.get(part.rows, "seen").astype(np.float64)[:, None], part.expected
        known = (part.known > 0)[:, None]
        off, inflation = (of_slices[part.known] for of_slices in part.once("volume", _normal))
        mean = np.where(self._fewer, usual / off, usual * off)
        log_e = volume_log_ratio(n, mean, float(part.reference.dispersion[0]), self._factors)
        log_e /= inflation
        return Evidence(log_e[:, None, :], (usual > 0) & known)

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        fewer = bool(odds[self._fewer].sum() >= odds.sum() / 2)
        return Said((), "down" if fewer else "up", "events a pane", f"{'fewer' if fewer else 'more'} events than usual")

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`: of a pane."""
        n, usual = part.layout.get(part.rows, "seen")[rows].astype(np.float64), part.expected[rows, 0]
        spread = np.sqrt(usual + usual**2 / float(part.reference.dispersion[0]))
        figures = np.stack([np.ones(len(rows)), n, usual, spread], axis=1)
        figures[(part.known[rows] == 0) | (usual <= 0)] = np.nan
        return figures


def _normal(reference: Reference) -> tuple[Floats, Floats]:
    """How far off the rate may be, and what panes that depend on each other are worth ``(s + 1, 1)``."""
    off = _ZONE + 2.0 * np.minimum(reference.rate_se, 5.0)[:, None]
    return 1.0 + off, reference.rate_inflation[:, None]
