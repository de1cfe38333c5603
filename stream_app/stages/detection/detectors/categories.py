"""Categories: levels that were never seen, and how often the others come."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import GROUPS, PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors.base import Evidence, Kind, Part, Said, Stateless, shares
from stream_app.stages.detection.detectors.counting import NO_BET, Bets

_MORE, _LESS = np.array([1.5, 4.0, 30.0]), np.array([1 / 1.5, 1 / 4.0])
_NTH = ("", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ")
_WHICH = [*(f"its {nth}most frequent value comes" for nth in _NTH), "one of its rarer values comes"]
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
        counts, n = part.layout.get(part.rows, "group"), part.layout.get(part.rows, "scored")[:, None]
        bets, silent, less = part.once("categories", _bets)
        rows = part.known[:, None] * self.channels + np.arange(self.channels)
        more = np.where(silent[part.known], NO_BET, bets.at(rows, counts, n))
        return Evidence(np.concatenate([more, less.at(rows, counts, n)], axis=2), np.broadcast_to(n > 0, counts.shape))

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """See :class:`Detector`."""
        column, group = divmod(channel, GROUPS)
        more = bool(odds[: len(_MORE)].sum() > odds[len(_MORE) :].sum())
        words = "it has values that were never seen before"
        if group < len(_WHICH):
            words = f"{_WHICH[group]} {'more' if more else 'less'} often than usual"
        return Said((self._names[column],), "up" if more else "down", "share", words)

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`."""
        hits = part.layout.get(part.rows, "group")[rows, channels]
        column, group = np.divmod(channels, GROUPS)
        return shares(
            hits, part.layout.get(part.rows, "scored")[rows], part.reference.share[part.known[rows], column, group]
        )


def _bets(reference: Reference) -> tuple[Bets, Bools, Bets]:
    """Bets on more, those of them that tell nothing, and bets on less."""
    share, error, inflation = (
        of_slices.reshape(len(of_slices), of_slices.shape[1] * GROUPS)
        for of_slices in (reference.share, reference.share_se, reference.share_inflation)
    )
    most, least = share * 1.1 + 2.0 * error + 0.002, share / 1.1 - 2.0 * error
    silent = most[:, :, None] * (_MORE - 1.0) < _TELLING
    return Bets.of(most, _MORE, inflation).table, silent, Bets.of(least, _LESS, inflation).table
