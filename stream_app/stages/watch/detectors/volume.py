"""Volume: a slice has many fewer events, or many more, than usual at this hour of the week."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import hour_of_week, volume_log_ratio
from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.watch.detectors.base import Evidence, Kind, Part, Stateless

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
        self.bets = len(self.factors)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        reference, factors = part.reference, np.array(self.factors)
        n = part.layout.get(part.rows, "seen").astype(np.float64)[:, None]
        hour = hour_of_week(np.array([part.start_ms]), reference.zone)
        usual = (reference.rate[part.known] * reference.profile[hour])[:, None]
        off = _ZONE + 2.0 * np.minimum(reference.rate_se[part.known], 5.0)[:, None]
        least = usual / (1.0 + off)
        mean = np.where(factors < 1, least, usual * (1.0 + off))
        log_e = volume_log_ratio(n, mean, float(reference.dispersion[0]), factors)
        log_e /= reference.rate_inflation[part.known, None]
        return Evidence(log_e[:, None, :], (usual > 0) & (part.known > 0)[:, None])

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        fewer = odds[np.array(self.factors) < 1].sum() >= odds.sum() / 2
        return (), f"volume: {'fewer' if fewer else 'more'} events than usual"
