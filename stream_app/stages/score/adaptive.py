"""A level for each slice that follows what its events do, so that the long-run share of strange ones is alpha.

Adaptive conformal inference (Gibbs & Candès, NeurIPS 2021, arXiv 2106.00170) on the logarithm of the level: each event
raises it by α/4, each strange one lowers it by 1/4. While the level stays within its bounds the share of strange events
among T is α (1 − s / (α T / 4)), s what the logarithm has moved by, whatever the events are: for a slice whose
p-values are 2.5 times too small or 5 times too large, within a fifth of α after 20,000 events at α = .0025.

It follows drift, too: after a while a drifted slice has no more strange events than before. So the fixed level stays
beside it, and the detectors never see this one. A model that has just been swapped in starts from the fixed level, with
a reference of its own (as in AdaptNC, arXiv 2602.01629, what was learnt for one model is not carried to another).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from flowlib.table import Bools, Coded, Floats, Ints

STEP = 0.25
"""By how much the logarithm of the level falls with a strange event."""

BOUND = math.log(20.0)
"""The level stays between a twentieth of alpha and twenty times alpha."""

MODELS_MAX = 2
"""Models whose levels are kept: that in service, and the one before for panes that are still open."""


@dataclass(slots=True)
class Level:
    """Of one slice under one model.

    Attributes:
        moved: logarithm of level over alpha just after the last strange event, or at the start.
        since: events since then.
        events, strange: how many there were in all.
    """

    moved: float = 0.0
    since: int = 0
    events: int = 0
    strange: int = 0


@dataclass(slots=True)
class Adaptive:
    """Levels of one source partition: model id to slice to its level."""

    models: dict[str, dict[str, Level]] = field(default_factory=dict)

    def judge(
        self, model_id: str, p_value: Floats, slices: Coded, alpha: float, gone: Sequence[tuple[int, str]] = ()
    ) -> tuple[Bools, Floats]:
        """Take events in, in their order; the result does not depend on how they are cut into batches.

        Args:
            model_id: that scored them.
            p_value: ``(n,)``.
            slices: of the n events; those of ``__other__`` share a level.
            alpha: the long-run share.
            gone: slices that lose their place, each with the event before which it does, ascending: a slice that comes
                again begins anew.

        Returns:
            ``(n,)`` whether an event is strange; ``(n,)`` the level that a strange one was compared with, alpha else.
        """
        levels = self._levels_of(model_id)
        strange, level = np.zeros(len(slices), dtype=bool), np.full(len(slices), alpha)
        for first, last in pairwise(sorted({0, len(slices), *(at for at, _ in gone)})):
            _forget(levels, (name for at, name in gone if at == first))
            part = slice(first, last)
            strange[part], level[part] = _judge(levels, p_value[part], slices.codes[part], slices.names, alpha)
        _forget(levels, (name for at, name in gone if at == len(slices)))
        return strange, level

    def forget(self, names: Iterable[str], but: Collection[str]) -> None:
        """Slices have lost their place; the levels of the models ``but`` have been told, or will be."""
        gone = list(names)
        for model_id in self.models.keys() - set(but):
            _forget(self.models[model_id], gone)

    def _levels_of(self, model_id: str) -> dict[str, Level]:
        if model_id not in self.models:
            self.models[model_id] = {}
            for old in list(self.models)[:-MODELS_MAX]:
                del self.models[old]
        return self.models[model_id]

    def to_state(self) -> list[Any]:
        """Plain values, for a snapshot."""
        return [
            [model_id, [[name, row.moved, row.since, row.events, row.strange] for name, row in levels.items()]]
            for model_id, levels in self.models.items()
        ]

    @classmethod
    def from_state(cls, state: list[Any]) -> Adaptive:
        """Inverse of :meth:`to_state`."""
        return cls({model_id: {name: Level(*values) for name, *values in levels} for model_id, levels in state})


def _judge(
    levels: dict[str, Level], p_value: Floats, slices: Ints, names: list[str], alpha: float
) -> tuple[Bools, Floats]:
    """:meth:`Adaptive.judge` by the levels of one model, of slices that all keep their places."""
    rows, codes = _rows(levels, slices, names)
    before, strange, level = _before(codes), np.zeros(len(codes), dtype=bool), np.full(len(codes), alpha)
    moved, since = (np.array([getattr(row, name) for row in rows]) for name in ("moved", "since"))
    # A strange event only lowers a level: what is above the level without any is not strange (but for rounding).
    most = np.minimum(moved[codes] + STEP * alpha * (since[codes] + before), BOUND)
    counts, at_hit = np.bincount(codes, minlength=len(rows)), np.zeros(len(rows), dtype=np.int64)
    for i in np.flatnonzero(p_value <= alpha * np.exp(most) * (1.0 + 1e-9)).tolist():
        row, done = rows[codes[i]], int(at_hit[codes[i]])
        now = min(row.moved + STEP * alpha * (row.since + int(before[i]) - done), BOUND)
        if p_value[i] <= alpha * math.exp(now):
            strange[i], level[i] = True, alpha * math.exp(now)
            row.moved, row.since = max(min(now + STEP * alpha, BOUND) - STEP, -BOUND), 0
            row.strange += 1
            at_hit[codes[i]] = before[i] + 1
    for row, count, done in zip(rows, counts.tolist(), at_hit.tolist(), strict=True):
        row.events += count
        row.since += count - done
    return strange, level


def _forget(levels: dict[str, Level], names: Iterable[str]) -> None:
    for name in names:
        levels.pop(name, None)


def _rows(levels: dict[str, Level], slices: Ints, names: list[str]) -> tuple[list[Level], Ints]:
    """The levels of some events' slices, made where they are new in the order of those events, and the place of each
    event's there ``(n,)``.
    """
    distinct, first, codes = np.unique(slices, return_index=True, return_inverse=True)
    for code in distinct[np.argsort(first)].tolist():
        if names[code] not in levels:
            levels[names[code]] = Level()
    return [levels[names[code]] for code in distinct.tolist()], codes


def _before(codes: Ints) -> Ints:
    """``(n,)`` how many rows of the same code come before each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    before = np.empty(len(codes), dtype=np.int64)
    before[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return before
