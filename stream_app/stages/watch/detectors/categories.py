"""Categories: levels that were never seen, and how often the others come."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.table import Floats
from schemas.pane_layout import GROUPS, PaneLayout
from stream_app.config import Config
from stream_app.stages.watch.detectors.base import Evidence, Kind, Part, Stateless
from stream_app.stages.watch.detectors.counting import NO_BET, bernoulli

_MORE, _LESS = np.array([1.5, 4.0, 30.0]), np.array([1 / 1.5, 1 / 4.0])
_TELLING = 0.01
"""Nats that a value of another group tells against a bet; of less, the end of a change would not show for months."""


class CategoriesDetector(Stateless):
    """Nine channels a categorical column: the seven most frequent levels, the rest, and levels never seen."""

    name: ClassVar[str] = "categories"
    kind: ClassVar[Kind] = "drift"
    weight: ClassVar[float] = 0.15

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._names, self.channels, self.bets = config.event.categorical, layout.k * GROUPS, len(_MORE) + len(_LESS)

    def evidence(self, part: Part) -> Evidence:
        """See :class:`Detector`."""
        reference, counts = part.reference, part.layout.get(part.rows, "group").astype(np.float64)
        n = np.broadcast_to(part.layout.get(part.rows, "scored")[:, None].astype(np.float64), counts.shape)
        flat = (len(counts), self.channels)
        share, error, inflation = (
            of_slices[part.known].reshape(flat)
            for of_slices in (reference.share, reference.share_se, reference.share_inflation)
        )
        most, least = share * 1.1 + 2.0 * error + 0.002, share / 1.1 - 2.0 * error
        more = bernoulli(counts, n, most, _MORE, inflation)
        more[most[:, :, None] * (_MORE - 1.0) < _TELLING] = NO_BET
        less = bernoulli(counts, n, least, _LESS, inflation)
        return Evidence(np.concatenate([more, less], axis=2), n > 0)

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """See :class:`Detector`."""
        column, group = divmod(channel, GROUPS)
        if group == GROUPS - 1:
            return (self._names[column],), "categories: levels that were never seen before"
        more = odds[: len(_MORE)].sum() > odds[len(_MORE) :].sum()
        which = "one of its rarer levels" if group == GROUPS - 2 else f"its level number {group + 1} by frequency"
        return (self._names[column],), f"categories: {which} comes {'more' if more else 'less'} often"
