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

from flowlib import native
from flowlib.table import Bools, Coded, Floats, Ints
from stream_app.stages.score.pools import Lookup, looked_up

STEP = 0.25
"""By how much the logarithm of the level falls with a strange event."""

BOUND = math.log(20.0)
"""The level stays between a twentieth of alpha and twenty times alpha."""

MODELS_MAX = 2
"""Models whose levels are kept: that in service, and the one before for panes that are still open."""


@dataclass(slots=True)
class Levels:
    """Of the slices under one model.

    Attributes:
        places: slice to its place in the columns.
        moved: ``(M,)`` logarithm of level over alpha just after the last strange event, or at the start.
        since: ``(M,)`` events since then.
        events, strange: ``(M,)`` how many there were in all.
        free: places below M of no slice.
        found: what ``places`` has of slices with numbers; in no snapshot.
    """

    places: dict[str, int] = field(default_factory=dict)
    moved: Floats = field(default_factory=lambda: np.zeros(0))
    since: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    events: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    strange: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    free: list[int] = field(default_factory=list)
    found: Lookup = field(default_factory=Lookup)

    def of(self, slices: Coded) -> Ints:
        """By code the places of the slices of n events, made where they are new, in the order of the events."""
        names, places = slices.names, self.found.of(slices, lambda texts: looked_up(texts, self.places, -1))
        if (places < 0).any():
            first, n = np.full(len(names), -1, dtype=np.int64), len(slices)
            first[slices.codes[::-1]] = np.arange(n - 1, -1, -1)
            new = np.flatnonzero((places < 0) & (first >= 0))
            for code in new[np.argsort(first[new])].tolist():
                places[code] = self.places[names[code]] = self._free_place()
        return places

    def _free_place(self) -> int:
        if not self.free:
            have = len(self.moved)
            for name in _COLUMNS:
                setattr(self, name, np.pad(getattr(self, name), (0, max(have, 16))))
            self.free = list(range(have, len(self.moved)))[::-1]
        place = self.free.pop()
        for name in _COLUMNS:
            getattr(self, name)[place] = 0
        return place

    def row(self, place: int) -> tuple[float, int, int, int]:
        """``moved`` and ``since`` at a place, and twice 0."""
        return float(self.moved[place]), int(self.since[place]), 0, 0

    def forget(self, names: Iterable[str]) -> None:
        """Slices begin anew when they come again."""
        gone = [self.places.pop(name) for name in names if name in self.places]
        if gone:
            self.free += gone
            self.found.forget()

    def to_state(self) -> list[Any]:
        """Names and columns, for a snapshot."""
        index = np.array(list(self.places.values()), dtype=np.int64)
        return [list(self.places), *(getattr(self, name)[index] for name in _COLUMNS)]

    @classmethod
    def from_state(cls, state: list[Any]) -> Levels:
        """Inverse of :meth:`to_state`."""
        names, moved, since, events, strange = state
        places = {name: i for i, name in enumerate(names)}
        return cls(places, np.array(moved), np.array(since), np.array(events), np.array(strange))


_COLUMNS = ("moved", "since", "events", "strange")


@dataclass(slots=True)
class Adaptive:
    """Levels of one source partition by model id."""

    models: dict[str, Levels] = field(default_factory=dict)

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
            levels.forget(name for at, name in gone if at == first)
            part = slice(first, last)
            every = last - first == len(slices)
            own = slices if every else slices.take(np.arange(first, last))
            strange[part], level[part] = _judge(levels, p_value[part], own, alpha)
        levels.forget(name for at, name in gone if at == len(slices))
        return strange, level

    def forget(self, names: Iterable[str], but: Collection[str]) -> None:
        """Slices have lost their place; the levels of the models ``but`` have been told, or will be."""
        gone = list(names)
        for model_id in self.models.keys() - set(but):
            self.models[model_id].forget(gone)

    def _levels_of(self, model_id: str) -> Levels:
        if model_id not in self.models:
            self.models[model_id] = Levels()
            for old in list(self.models)[:-MODELS_MAX]:
                del self.models[old]
        return self.models[model_id]

    def to_state(self) -> list[Any]:
        """Plain values, for a snapshot."""
        return [[model_id, levels.to_state()] for model_id, levels in self.models.items()]

    @classmethod
    def from_state(cls, state: list[Any]) -> Adaptive:
        """Inverse of :meth:`to_state`."""
        return cls({model_id: Levels.from_state(levels) for model_id, levels in state})


def _judge(levels: Levels, p_value: Floats, column: Coded, alpha: float) -> tuple[Bools, Floats]:
    """:meth:`Adaptive.judge` by the levels of one model, of slices that all keep their places."""
    slices, strange, level = column.codes, np.zeros(len(column), dtype=bool), np.full(len(column), alpha)
    counts, places = np.bincount(slices, minlength=len(column.names)), levels.of(column)
    codes = np.flatnonzero(counts)
    hits, before = _near(levels, p_value, slices, places, alpha)
    levels.events[places[codes]] += counts[codes]
    # Of each slice with such events: moved, since, strange ones, and events of the batch up to the last of them.
    rows: dict[int, tuple[float, int, int, int]] = {}
    of_hits = zip(hits.tolist(), slices[hits].tolist(), before.tolist(), p_value[hits].tolist(), strict=True)
    for i, code, earlier, p in of_hits:
        moved, since, found, done = rows.get(code) or levels.row(places[code])
        now = min(moved + STEP * alpha * (since + earlier - done), BOUND)
        if p <= alpha * math.exp(now):
            strange[i], level[i] = True, alpha * math.exp(now)
            rows[code] = max(min(now + STEP * alpha, BOUND) - STEP, -BOUND), 0, found + 1, earlier + 1
    levels.since[places[codes]] += counts[codes]
    for code, (moved, _, found, done) in rows.items():
        place = places[code]
        levels.moved[place], levels.since[place] = moved, counts[code] - done
        levels.strange[place] += found
    return strange, level


def _near(levels: Levels, p_value: Floats, slices: Ints, places: Ints, alpha: float) -> tuple[Ints, Ints]:
    """Events that may be strange, and how many of their slices come before them. A strange event only lowers a level:
    what is above the level without any is not strange (but for rounding).
    """
    some = np.flatnonzero(p_value <= alpha * np.exp(BOUND) * (1.0 + 1e-9))
    if not len(some):
        return some, some
    before, at = _before(slices)[some], places[slices[some]]
    most = np.minimum(levels.moved[at] + STEP * alpha * (levels.since[at] + before), BOUND)
    near = p_value[some] <= alpha * np.exp(most) * (1.0 + 1e-9)
    return some[near], before[near]


def _before(codes: Ints) -> Ints:
    """``(n,)`` how many rows of the same code come before each."""
    before = np.empty(len(codes), dtype=np.int64)
    if native.loops is not None:
        native.loops.earlier(
            np.ascontiguousarray(codes), np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64), before
        )
        return before
    # Few bits are sorted in one pass.
    order = np.argsort(codes.astype(np.uint16) if codes.max() < 1 << 16 else codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    before[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return before
