"""What a rule says of slices in panes that it has taken in together: put into columns for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from flowlib.table import Floats, Ints
from schemas.evidence import EvidenceColumns
from stream_app.stages.detection.causes import Channels, Found, Rows, Stack
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.peaks import LARGEST
from stream_app.stages.detection.tables import Steps


class Settled(msgspec.Struct, frozen=True):
    """Where m slices stand in n panes; c channels, w bets.

    Attributes:
        pane: ``(n,)`` among those that were taken in together.
        number: ``(n,)`` of the panes in event time: they end then, in panes.
        at: ``(m,)`` numbers of the slices.
        statistic, remaining: ``(n, m)``.
        now, peak: ``(n, m, c)`` log of each channel's part of the evidence, and where it was largest.
        steps, calm: ``(n, m, w)`` of the bets, and in which pane each of them last said nothing.
    """

    pane: Ints
    number: Ints
    at: Ints
    statistic: Floats
    remaining: Floats
    now: Floats
    peak: Floats
    steps: Ints
    calm: Steps


class _Together:
    """What is said in panes that wait for each other, up to the moment at which any of it is asked for."""

    def __init__(self) -> None:
        self.waiting: list[Settled] = []
        self.rows = 0
        self.stack: Stack | None = None


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
        self._together = _Together()

    @property
    def is_bare(self) -> bool:
        """Whether they are of no rows of panes: then those of other panes without any may be added."""
        return not any(map(len, self._parts))

    def add(self, one: Settled) -> list[Found]:
        """What is said in each pane; its columns are made with those of the others, once any are asked for."""
        if self._together.stack is not None:
            self._together = _Together()
        together, m, n = self._together, len(one.at), len(one.pane)
        first, make = together.rows, partial(self._made, together)
        together.waiting.append(one)
        together.rows += n * m
        return [Found(one.at, make, first + k * m) for k in range(n)]

    def _made(self, together: _Together) -> Stack:
        if together.stack is None:
            together.stack, together.waiting = Stack(self._columns(together.waiting)), []
        return together.stack

    def _columns(self, settled: list[Settled]) -> EvidenceColumns:
        def joined(name: str) -> Any:
            of_all = [getattr(one, name) for one in settled]
            return np.concatenate([of.reshape(-1, *of.shape[2:]) for of in of_all])

        def repeated(name: str) -> Ints:
            return np.concatenate([np.repeat(getattr(one, name), len(one.at)) for one in settled])

        at = np.concatenate([np.tile(one.at, len(one.pane)) for one in settled])
        steps, calm = joined("steps"), joined("calm")
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
