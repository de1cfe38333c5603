"""Which channels speak for a change, the one to name first, for many slices at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import msgspec
import numpy as np

from flowlib.table import Floats, Ints
from schemas.evidence import CAUSES_MAX, FIGURES, EvidenceColumns
from stream_app.config.registries import DETECTOR_KINDS
from stream_app.stages.detection.detectors import Detector, Part
from stream_app.stages.detection.peaks import STEPS

NUMBERS = {name: number for number, name in enumerate(DETECTOR_KINDS)}
"""Detector name to its number in evidence."""

_FAR = 30.0
"""Nats; bets so far below the largest have no odds."""

Rows = list[tuple[Part, Ints]]
"""Panes, and of each of m slices its row there; −1 for none."""


class Stack:
    """The evidence of many slices in panes, one below the other.

    Attributes:
        columns: of all.
    """

    def __init__(self, columns: EvidenceColumns) -> None:
        self.columns = columns

    @cached_property
    def _bytes(self) -> list[tuple[str, bytes, int]]:
        """Of each column its bytes, and how many of them a slice has."""
        rows = max(len(self.columns.statistic), 1)
        return [(name, column, len(column) // rows) for name, column in self.columns.encode().items()]

    def encoded(self, first: int, end: int) -> dict[str, bytes]:
        """:meth:`~schemas.evidence.EvidenceColumns.encode` of some of them."""
        return {name: column[first * size : end * size] for name, column, size in self._bytes}


class Found(msgspec.Struct, frozen=True):
    """What a rule says of m slices in a pane.

    Attributes:
        numbers: ``(m,)`` of the slices, ascending.
        make: gives their evidence, with that of others.
        first: where theirs begins.
    """

    numbers: Ints
    make: Callable[[], Stack]
    first: int = 0

    @property
    def columns(self) -> EvidenceColumns:
        """Their evidence."""
        of_all, rows = self.make().columns, slice(self.first, self.first + len(self.numbers))
        return EvidenceColumns(*(getattr(of_all, name)[rows] for name in EvidenceColumns.__struct_fields__))

    def encoded(self, first: int, end: int) -> dict[str, bytes]:
        """The columns of some of the slices, as they are sent."""
        return self.make().encoded(self.first + first, self.first + end)


class Channels:
    """The channels of a rule, c of them, whose bets lie one behind the other.

    Args:
        ordered: the detectors as their bets lie.
        simplest: the same, the simplest explanation first.
    """

    def __init__(self, ordered: Sequence[Detector], simplest: Sequence[Detector]) -> None:
        self._ordered = list(ordered)
        each = [d.channels for d in ordered]
        self._of = np.repeat(np.arange(len(ordered)), each)
        self._channel = np.concatenate([np.zeros(0, np.int64), *(np.arange(n) for n in each)])
        self._rank = np.repeat(np.array([simplest.index(d) for d in ordered], dtype=np.int64), each)
        self._number = np.repeat(np.array([NUMBERS[d.name] for d in ordered], dtype=np.int64), each)
        self._plain = np.repeat(np.array([d.plain for d in ordered], dtype=np.float64), each)
        self.bets = np.repeat(np.array([d.bets for d in ordered], dtype=np.int64), each)
        self.first = np.cumsum([0, *self.bets])[:-1]

    def columns(self, now: Floats, peak: Floats, steps: Ints, rows: tuple[Rows, Rows]) -> dict[str, Floats | Ints]:
        """The columns of :class:`~schemas.evidence.EvidenceColumns` that say why, and the ``bet`` that leads ``(m,)``.

        Args:
            now: ``(m, c)`` log of each channel's part of the evidence.
            peak: the same where it was largest, for slices of which nothing speaks any more.
            steps: ``(m, w)`` of the bets.
            rows: where the slices are in the pane itself, and among all that are known.
        """
        places = self._named(np.where((now > 0).any(axis=1, keepdims=True), now, peak))
        there = places >= 0
        weight = np.where(there, np.maximum(np.take_along_axis(now, places, axis=1), 0.0), 0.0)
        return {
            "detector": np.where(there, self._number[places], -1),
            "channel": np.where(there, self._channel[places], 0),
            "weight": weight,
            "odds": self._odds(steps, places),
            "bet": self._largest_bet(steps, places[:, 0]),
            "figures": self._figures(places, rows),
        }

    def _named(self, weight: Floats) -> Ints:
        """Places ``(m, 3)`` of the channels with most weight ``(m, c)``, above 0, −1 for none; first the simplest of
        those that explain it.
        """
        left = np.where(weight > 0, weight, -np.inf)
        simple = left >= self._plain * left.max(axis=1, keepdims=True)
        rank = np.where(simple, self._rank, len(self._ordered))
        simplest = np.where(rank == rank.min(axis=1, keepdims=True), left, -np.inf)
        places, m = np.full((len(left), CAUSES_MAX), -1, dtype=np.int64), np.arange(len(left))
        for k in range(min(CAUSES_MAX, left.shape[1])):
            best = (left if k else simplest).argmax(axis=1)
            places[:, k] = np.where(left[m, best] > -np.inf, best, -1)
            left[m, best] = -np.inf
        places[:, 0] = np.maximum(places[:, 0], 0)
        return places

    def _largest_bet(self, steps: Ints, place: Ints) -> Ints:
        """Column ``(m,)`` of the largest bet of channels ``(m,)``."""
        of_channel = np.repeat(np.arange(len(self.bets)), self.bets) == place[:, None]
        return np.asarray(np.where(of_channel, steps, -1).argmax(axis=1))

    def _odds(self, steps: Ints, places: Ints) -> Floats:
        """``(m, 3, b)`` of each channel's bets, all even where none has won anything."""
        bet = np.arange(self.bets.max(initial=1))
        there = (places >= 0)[:, :, None] & (bet < self.bets[places][:, :, None])
        at = np.where(there, self.first[places][:, :, None] + bet, 0)
        log_r1 = np.where(there, steps[np.arange(len(steps))[:, None, None], at] / STEPS, 0.0)
        log_r1 -= np.maximum(log_r1.max(axis=2, keepdims=True) - _FAR, 0.0)
        won = np.where(there, np.maximum(np.expm1(log_r1), 0.0), 0.0)
        won = np.where((won > 0).any(axis=2, keepdims=True), won, there)
        return np.asarray(won / np.maximum(won.sum(axis=2, keepdims=True), 1e-300))

    def _figures(self, places: Ints, rows: tuple[Rows, Rows]) -> Floats:
        """``(m, 3, 4)`` of the channels at places ``(m, 3)``; NaN where they have none."""
        out = np.full((*places.shape, len(FIGURES)), np.nan)
        of = np.where(places >= 0, self._of[places], -1)
        for k, detector in enumerate(self._ordered):
            mine = of == k
            for part, at in rows[detector.everywhere] if mine.any() else ():
                i, j = np.nonzero(mine & (at >= 0)[:, None])
                if len(i):
                    out[i, j] = detector.figures(part, at[i], self._channel[places[i, j]])
        return out
