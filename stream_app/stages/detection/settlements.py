"""What a rule says of slices in panes that it has taken in together: put into columns for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from flowlib.table import Floats, Ints
from schemas.evidence import EvidenceColumns
from stream_app.stages.detection.causes import Channels, Found, Rows
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.peaks import LARGEST
from stream_app.stages.detection.tables import Steps


@dataclass(frozen=True, slots=True)
class Settled:
    """Where m slices stand in a pane; c channels, w bets.

    Attributes:
        pane: among those that were taken in together.
        number: of the pane in event time: it ends then, in panes.
        at: ``(m,)`` numbers of the slices.
        statistic, remaining: ``(m,)``.
        now, peak: ``(m, c)`` log of each channel's part of the evidence, and where it was largest.
        steps, calm: ``(m, w)`` of the bets, and in which pane each of them last said nothing.
    """

    pane: int
    number: int
    at: Ints
    statistic: Floats
    remaining: Floats
    now: Floats
    peak: Floats
    steps: Ints
    calm: Steps


class Settlements:
    """What a rule says of panes.

    Args:
        parts: the panes, and all known slices in them.
        channels: of the rule.
        pane_ms: length of a pane.
        slices: how many are known.
    """

    def __init__(
        self, parts: tuple[Sequence[Part], Sequence[Part]], channels: Channels, pane_ms: int, slices: int
    ) -> None:
        self._parts, self._channels, self._pane_ms, self._slices = parts, channels, pane_ms, slices
        self._waiting: list[Settled] = []
        self._made: list[EvidenceColumns] = []

    @property
    def is_bare(self) -> bool:
        """Whether they are of no rows of panes: then those of other panes without any may be added."""
        return not any(map(len, self._parts))

    def add(self, one: Settled) -> Found:
        """What is said in a pane; its columns are made with those of the others, once any are asked for."""
        self._waiting.append(one)
        place = len(self._made) + len(self._waiting) - 1
        return Found(one.at, lambda: self._columns_of(place))

    def _columns_of(self, place: int) -> EvidenceColumns:
        if place >= len(self._made):
            self._make()
        return self._made[place]

    def _make(self) -> None:
        waiting, self._waiting = self._waiting, []
        sizes = [len(one.at) for one in waiting]
        whole, names = self._columns(waiting, sizes), EvidenceColumns.__struct_fields__
        for a, b in pairwise(np.cumsum([0, *sizes]).tolist()):
            self._made.append(EvidenceColumns(**{name: getattr(whole, name)[a:b] for name in names}))

    def _columns(self, settled: list[Settled], sizes: list[int]) -> EvidenceColumns:
        def joined(name: str) -> Any:
            return np.concatenate([getattr(one, name) for one in settled])

        def repeated(name: str) -> Ints:
            return np.repeat(np.array([getattr(one, name) for one in settled], dtype=np.int64), sizes)

        at, steps, calm = joined("at"), joined("steps"), joined("calm")
        pane, number = repeated("pane"), repeated("number")
        rows = self._rows(0, pane, at), self._rows(1, pane, at)
        events = np.zeros(len(at), dtype=np.int64)
        for part, place in rows[0]:
            events += np.where(place >= 0, part.layout.get(part.rows, "seen")[place], 0)
        why: dict[str, Any] = self._channels.columns(joined("now"), joined("peak"), steps, rows)
        since_ms = self._since_ms(number, calm[np.arange(len(at)), why.pop("bet")])
        statistic, remaining = joined("statistic"), joined("remaining")
        return EvidenceColumns(statistic=statistic, remaining=remaining, since_ms=since_ms, events=events, **why)

    def _since_ms(self, number: Ints, calm: Steps) -> Ints:
        """End of the last pane ``(m,)`` in which the bets that lead said nothing."""
        ago = (number - calm.astype(np.int64)) & LARGEST
        return np.asarray(np.maximum(number - ago, 0) * self._pane_ms)

    def _rows(self, run: int, pane: Ints, at: Ints) -> Rows:
        """Where slices ``(m,)`` are in their panes."""
        out: Rows = []
        for part in self._parts[run]:
            if len(part.slices):
                place = np.full(len(part.spans) * self._slices, -1, dtype=np.int64)
                of_row = np.repeat(np.arange(len(part.spans)), [b - a for a, b in part.spans])
                place[of_row * self._slices + part.slices] = np.arange(len(part.slices))
                out.append((part, place[pane * self._slices + at]))
        return out
