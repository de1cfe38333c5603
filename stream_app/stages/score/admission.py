"""Which slice each event is counted in: its own where that has a place, so that no flood of new names takes it away.

A pane keeps statistics of ``windows.max_slices`` names of a slicing; the events of all others are those of
``__other__``. A name that the model knows has a place from its first event on: where there is none left, the newest of
those that the model does not know gives way. Any other waits until it has come in ``windows.newcomer_panes`` different
panes. Then, when a pane closes, those with most events take what places are left, and are counted from the first pane
on that no event has reached. At the beginning of a stream, and where the model knows no slice, they need not wait for
the first half of the places. Who has not come within the longest span leaves.

Everything follows from the rows in order, however they are cut into batches. A name that has a place costs a look into
a dict, once a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, starmap

import numpy as np

from flowlib.density import Density
from flowlib.table import Bools, Coded, Ints
from schemas.names import EVERYTHING
from schemas.pane_layout import OTHER
from schemas.records import Strangers
from stream_app.config import Config
from stream_app.stages.score.places import NEVER, Places, Table
from stream_app.stages.score.screening import Screening
from stream_app.stages.score.sketch import Newcomers
from stream_app.stages.score.strangers import Crowd

FOLLOWED, FOLLOWED_MIN = 2, 16_384
"""Newcomers that are followed for each place, and at least: one that comes more often than one in so many events of
those without a place is among them. They take some 300 bytes each.
"""


@dataclass(frozen=True, slots=True)
class Seating:
    """What became of the names of n events.

    Attributes:
        names: for each slicing the slice that each of the n events is counted in: its own, or ``__other__``.
        gone: names of the first slicing that have lost their place, each with the event from which on, ascending.
        strangers: of the panes that are closed, by start: who had no place.
    """

    names: tuple[Coded, ...]
    gone: list[tuple[int, str]]
    strangers: dict[int, list[Strangers]]


@dataclass(frozen=True, slots=True)
class _Way:
    """The m events of a batch that go to a pane.

    Attributes:
        rows: ``(m,)`` which they are.
        target_ms: ``(m,)`` their panes.
        model: m model ids.
        early: ``(m,)`` whether the stream begins with them.
        stretches: ``(first, last, cut)``: events (of the m) between two rows that close panes; ``cut`` is the one at
            its beginning, if there is one.
    """

    rows: Ints
    target_ms: Ints
    model: Coded
    early: Bools
    stretches: list[tuple[int, int, _Cut | None]]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A row that closes panes: how far, and the newest pane before it."""

    row: int
    closed_ms: int
    newest_ms: int


class Admission:
    """Gives names their places; states are handed in.

    Args:
        config: the stream.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._windows = config, config.windows

    def seat(
        self, state: Places, slices: tuple[Coded, ...], timing: Screening, model: Coded, models: Mapping[str, Density]
    ) -> Seating:
        """Let the names of a batch take their places.

        Args:
            state: the partition's, changed in place.
            slices: for each slicing the names of n events.
            timing: of the n events.
            model: model id of each.
            models: verified models by id.
        """
        self._open(state)
        way = self._way(state, timing, model)
        names, gone, strangers = list[Coded](), list[tuple[int, str]](), dict[int, list[Strangers]]()
        for j, (table, column) in enumerate(zip(state.tables, slices, strict=True)):
            desk = _Desk(self._config, j, table, column, way, models)
            for first, last, cut in way.stretches:
                if cut is not None:
                    desk.close(cut)
                desk.enter(first, last)
            names.append(desk.counted_in())
            gone += desk.gone if j == 0 else []
            for start, records in desk.strangers.items():
                strangers.setdefault(start, []).extend(records)
        return Seating(tuple(names), sorted(gone), strangers)

    def _open(self, state: Places) -> None:
        if state.tables:
            return
        most, lasting = int(self._windows.max_slices), int(self._windows.newcomer_panes)
        for fields in self._config.event.slicings:
            values = [Counter[str]() for _ in fields] if len(fields) > 1 else []
            state.tables.append(Table(Newcomers(max(FOLLOWED * most, FOLLOWED_MIN), lasting), values))
        for table, restored in zip(state.tables, state.restored, strict=bool(state.restored)):
            table.restore(restored)
        state.restored = []

    def _way(self, state: Places, timing: Screening, model: Coded) -> _Way:
        """Where the events of a batch go; the state knows the newest pane after it."""
        rows, lasting = np.flatnonzero(timing.wanted | timing.late), int(self._windows.newcomer_panes)
        target_ms = timing.target_ms[rows]
        newest_ms = np.maximum.accumulate(np.concatenate(([state.newest_ms], target_ms)))
        reached = state.reached + np.cumsum(newest_ms[1:] > newest_ms[:-1])
        cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms)
        edges = np.searchsorted(rows, cuts)
        closed = zip(cuts.tolist(), timing.closed_after_ms[cuts].tolist(), newest_ms[edges].tolist(), strict=True)
        stretches = zip(pairwise([0, *edges.tolist(), len(rows)]), [None, *starmap(_Cut, closed)], strict=True)
        if len(rows):
            state.newest_ms, state.reached = int(newest_ms[-1]), min(int(reached[-1]), lasting + 1)
        return _Way(
            rows,
            target_ms,
            model.take(rows),
            reached <= lasting,
            [(first, last, cut) for (first, last), cut in stretches],
        )


class _Desk:
    """Gives the names of a batch their places in one slicing."""

    def __init__(
        self, config: Config, j: int, table: Table, names: Coded, way: _Way, models: Mapping[str, Density]
    ) -> None:
        self._slicing, self._fields = config.slicing_names[j], config.event.slicings[j]
        self._windows, self._pane_ms = config.windows, int(config.windows.pane)
        self._table, self._names, self._way = table, names, way
        self._codes = names.codes[way.rows]
        self._models, self._j = models, j
        self._sets: dict[str, frozenset[str]] = {}
        self._half, self._one_model = int(config.windows.max_slices) // 2, len(way.model.names) == 1
        self._odd, self._has_news = np.zeros(len(names.names), dtype=bool), False
        self._others: list[int] = []
        self.gone: list[tuple[int, str]] = []
        self.strangers: dict[int, list[Strangers]] = {}

    def counted_in(self) -> Coded:
        """The slices that the events of the batch are counted in."""
        if not self._others:
            return self._names
        codes, names = self._names.codes.copy(), self._names.names
        codes[self._way.rows[self._others]] = names.index(OTHER) if OTHER in names else len(names)
        return Coded(codes, names if OTHER in names else [*names, OTHER])

    def enter(self, first: int, last: int) -> None:
        """Let events in."""
        if first == last:
            return
        codes, names, places, since = self._codes[first:last], self._names.names, self._table.places, self._table.since
        newest_ms = _newest(codes, self._way.target_ms[first:last], len(self._odd))
        known_ms = self._table.newest_of(self._names)
        self._odd = (newest_ms > NEVER) & (known_ms == NEVER)
        if since:
            self._odd[[code for code, name in enumerate(names) if name in since and newest_ms[code] > NEVER]] = True
        if self._odd.any():
            self._sort_out(first, last)
        later = np.flatnonzero((newest_ms > known_ms) & ~self._odd)
        for code, start in zip(later.tolist(), newest_ms[later].tolist(), strict=True):
            places[names[code]] = start
        self._table.found.put(self._names, later, newest_ms[later])

    def _sort_out(self, first: int, last: int) -> None:
        """Go through the events of names that are not simply there; one that has to give way becomes such a one."""
        self._has_news = True
        while self._has_news:
            self._has_news = False
            which = first + np.flatnonzero(self._odd[self._codes[first:last]])
            for at, code, start in zip(
                which.tolist(), self._codes[which].tolist(), self._way.target_ms[which].tolist(), strict=True
            ):
                self._let_in(self._names.names[code], at, start)
                if self._has_news:
                    first = at + 1
                    break

    def _let_in(self, name: str, at: int, start: int) -> None:
        table = self._table
        newest_ms = table.places.get(name)
        if newest_ms is not None:
            if start > newest_ms:
                table.move(name, start)
            if table.since.get(name, start) > start:
                self._others.append(at)
        elif not (self._enters(name, at) and self._take(name, start)):
            self._others.append(at)
            if name not in table.places:
                self._turn_away(name, start)

    def _turn_away(self, name: str, start: int) -> None:
        """An event of a name without a place."""
        table = self._table
        table.newcomers.add(name, start)
        crowd = table.crowds.get(start)
        if crowd is None:
            crowd = table.crowds[start] = Crowd()
        crowd.add(name, table.values)

    def _take(self, name: str, start: int) -> bool:
        """Give it a place at once; from the next pane on where others of its events are among those of no place."""
        table, since = self._table, start
        if name in table.newcomers:
            since = max(start, table.newcomers[name].last_ms + self._pane_ms)
            table.newcomers.remove(name)
            table.since[name] = since
        table.take(name, start)
        return since <= start

    def _enters(self, name: str, at: int) -> bool:
        """Whether it gets a place at once."""
        known = self._known_always if self._one_model else self._known_at(at)
        if name in known:
            return self._make_room(known, int(self._way.rows[at]))
        return len(self._table.places) < self._half and (not known or bool(self._way.early[at]))

    @cached_property
    def _known_always(self) -> frozenset[str]:
        return self._known(self._way.model.names[0])

    def _known_at(self, at: int) -> frozenset[str]:
        model = self._way.model
        return self._known(model.names[model.codes[at]])

    def _known(self, model_id: str) -> frozenset[str]:
        if model_id not in self._sets:
            slices = self._models[model_id].references[self._j].slices
            self._sets[model_id] = _set_of(slices) if self._fields else _EVERYTHING
        return self._sets[model_id]

    def _make_room(self, known: frozenset[str], row: int) -> bool:
        """Have a place that is free; False where all of them are known ones'."""
        table, most = self._table, int(self._windows.max_slices)
        if len(table.places) >= most and table.full_of is known:
            return False
        while len(table.places) >= most:
            newest = next((name for name in reversed(table.places) if name not in known), None)
            if newest is None:
                table.full_of = known
                return False
            self._let_go(newest, row)
            self._find_odd(newest)
        return True

    def _find_odd(self, name: str) -> None:
        """Its events, if there are some, are to be gone through from here on."""
        if name in self._code_of and not self._odd[self._code_of[name]]:
            self._odd[self._code_of[name]] = self._has_news = True

    @cached_property
    def _code_of(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self._names.names)}

    def close(self, cut: _Cut) -> None:
        """Panes are closed: the idle leave, newcomers that have lasted get their places."""
        table = self._table
        if table.since:
            table.since = {name: start for name, start in table.since.items() if start > cut.closed_ms}
        before_ms = cut.closed_ms - int(self._windows.spans[-1]) - self._pane_ms + 1
        for name in table.idle(before_ms):
            self._let_go(name, cut.row)
        table.newcomers.forget(before_ms)
        room = int(self._windows.max_slices) - len(table.places)
        if table.newcomers.lasted and room > 0:
            self._admit(room, cut.newest_ms + self._pane_ms)
        self._tell(cut.closed_ms)

    def _admit(self, room: int, since_ms: int) -> None:
        waiting = self._table.newcomers
        for name in sorted(waiting.lasted, key=lambda name: (-waiting[name].sure, name))[:room]:
            self._table.take(name, waiting[name].last_ms)
            self._table.since[name] = since_ms
            waiting.remove(name)

    def _let_go(self, name: str, row: int) -> None:
        self._table.give_back(name)
        self.gone.append((row, name))

    def _tell(self, closed_ms: int) -> None:
        """Who had no place in the panes that are closed."""
        crowds = self._table.crowds
        for start in sorted(start for start in crowds if start + self._pane_ms <= closed_ms):
            record = crowds.pop(start).record(self._slicing, self._fields)
            self.strangers.setdefault(start, []).append(record)


def _newest(codes: Ints, target_ms: Ints, n: int) -> Ints:
    """``(n,)`` the newest pane of the events of each code; :data:`NEVER` where there are none."""
    newest_ms = np.full(n, NEVER, dtype=np.int64)
    if np.all(target_ms == target_ms[0]):
        newest_ms[codes] = target_ms[0]
    else:
        np.maximum.at(newest_ms, codes, target_ms)
    return newest_ms


_EVERYTHING = frozenset([EVERYTHING])


@lru_cache(maxsize=64)
def _set_of(slices: tuple[str, ...]) -> frozenset[str]:
    return frozenset(slices)
