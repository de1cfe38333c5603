"""Tables of the bets of slices: longer ones, and evidence side by side, of a pane at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints
from stream_app.stages.detection.detectors import Evidence, Part
from stream_app.stages.detection.peaks import LARGEST, STEPS, steps_of

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

Steps = npt.NDArray[np.uint16]

NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Given:
    """Evidence of some panes for one run of columns.

    Attributes:
        first: its first column.
        looks: whether slices may be found once it is taken in.
        slices: ``(p,)`` of the rows, pane by pane.
        edges: ``(n + 1,)`` where each pane begins among them, and where the last one ends.
        evidence: ``(p, …)`` of each detector of the run.
    """

    first: int
    looks: bool
    slices: Ints
    edges: Ints
    evidence: list[Evidence]

    @classmethod
    def of(cls, first: int, looks: bool, slices: Ints, edges: Sequence[int], evidence: list[Evidence]) -> Given:
        """Evidence of panes, or of a single one, which has no edges."""
        of_panes = np.array(edges if len(edges) else (0, len(slices)), dtype=np.int64)
        return cls(first, looks, slices, of_panes, evidence)

    def of_pane(self, k: int) -> tuple[Ints, list[Evidence]]:
        """Slices and evidence of a pane."""
        rows = slice(*self.edges[k : k + 2].tolist())
        return self.slices[rows], [Evidence(of.log_e[rows], of.news[rows]) for of in self.evidence]

    @cached_property
    def bare(self) -> tuple[Any, ...]:
        """What ``native/panes`` takes of it."""
        ready, first, found = np.ascontiguousarray, self.first, list[Any]()
        for of in self.evidence:
            bets = of.log_e.shape[2]
            found.append((first, bets, ready(of.log_e), ready(of.news)))
            first += of.news.shape[1] * bets
        return ready(self.slices), self.edges, self.looks, *found


@dataclass(slots=True)
class Table:
    """What a rule remembers of slices: how much each of w bets has gained, and when it last said nothing.

    Attributes:
        steps: ``(slices, w)`` of ``log(1 + R)``.
        calm: ``(slices, w)`` number of the last pane in which each bet said nothing, of those that two bytes count.
        seen: ``(slices,)`` whether there was any evidence.
        calm_most: steps up to which a bet says nothing.
        least: steps from which on a slice may be found.
        rest_most: those up to which a bet says nothing where it rests: it loses so little that it stays above the
            others.
    """

    steps: Steps
    calm: Steps
    seen: Bools
    calm_most: int
    least: int
    rest_most: int = 0

    @classmethod
    def blank(cls, w: int, calm_most: int, least: int, rest_most: int) -> Table:
        """Of no slices."""
        none = np.zeros((0, w), dtype=np.uint16)
        return cls(none, none.copy(), np.zeros(0, dtype=bool), calm_most, least, rest_most)

    def grow(self, m: int) -> None:
        """There are m slices now, or as many as before."""
        more = m - len(self.steps)
        if more > 0:
            self.steps, self.calm, self.seen = longer(self.steps, m), longer(self.calm, m), np.pad(self.seen, (0, more))

    def keep(self, numbers: Ints) -> None:
        """Only these slices stay."""
        self.steps, self.calm, self.seen = self.steps[numbers], self.calm[numbers], self.seen[numbers]

    def copy(self) -> Table:
        """Another one that holds the same."""
        return replace(self, steps=self.steps.copy(), calm=self.calm.copy(), seen=self.seen.copy())

    def put_back(self, before: Table) -> None:
        """All is as it was."""
        self.steps[:], self.calm[:], self.seen[:] = before.steps, before.calm, before.seen


def longer(table: Steps, m: int) -> Steps:
    """The first m rows of a table, blank where they are new; with some room behind them, of which nothing is taken
    before it is used.
    """
    room = table.base
    if isinstance(room, np.ndarray) and room.shape[1:] == table.shape[1:] and len(room) >= m:
        return room[:m]
    room = np.zeros((m + m // 4, table.shape[1]), dtype=table.dtype)
    room[: len(table)] = table
    return room[:m]


def joined(evidence: list[Evidence]) -> tuple[Floats, Bools]:
    """Log e-values and news ``(p, w)`` of every bet of some detectors."""
    log_e = [of.log_e.reshape(len(of.log_e), of.news.shape[1] * of.log_e.shape[2]) for of in evidence]
    news = [np.repeat(of.news, of.log_e.shape[2], axis=1) for of in evidence]
    return np.concatenate(log_e, axis=1), np.concatenate(news, axis=1)


def pieces(part: Part, size: int) -> Iterator[Part]:
    """A part, or where it is a pane of very many slices, one after the other some of them."""
    if len(part.spans) > 1 or len(part.rows) <= max(size, 1):
        yield part
        return
    for a in range(0, len(part.rows), max(size, 1)):
        yield part.take(slice(a, a + max(size, 1)))


def pane_numbers(parts: Sequence[Part], panes: int, pane_ms: int, end_ms: int) -> Ints:
    """Numbers of panes in event time ``(n,)``: they end then, in panes; one without rows counts as the one before it.

    Args:
        parts: their rows.
        panes: how many there are.
        pane_ms: length of a pane.
        end_ms: of the one before them.
    """
    numbers = np.full(panes, end_ms // pane_ms, dtype=np.int64)
    if not parts:
        return numbers
    newest = np.full(panes, -1)
    for part in parts:
        first, end = np.array(part.spans, dtype=np.int64).T
        some = np.flatnonzero(end > first)
        numbers[some], newest[some] = part.start_ms[first[some]] // pane_ms + 1, some
    newest = np.maximum.accumulate(newest)
    return np.where(newest >= 0, numbers[newest], numbers)


class Walked(NamedTuple):
    """How far panes were taken in, and where the m slices that are followed stand after each of them.

    Attributes:
        last: the last that was taken in; the end where other slices are found in none.
        steps, calm: ``(n, m, w)``.
    """

    last: int
    steps: Steps
    calm: Steps


def walk(table: Table, given: Sequence[Given], numbers: Ints, pane: int, end: int, followed: Ints = NONE) -> Walked:
    """``log(1 + R) ← log(1 + (1 + R)·e)`` where there is news, pane by pane, up to the first in which a slice that is
    not followed may be found.

    Args:
        table: changed in place.
        given: evidence of the same panes.
        numbers: ``(n,)`` of them.
        pane, end: those that are taken in.
        followed: ``(m,)`` numbers of slices, ascending.
    """
    traced = np.empty((2, max(end - pane, 0), len(followed), table.steps.shape[1]), dtype=np.uint16)
    if is_there():
        most = table.calm_most, table.rest_most, table.least
        place = np.array([table.steps.shape[1], *most, pane, end], dtype=np.int64)
        ready = tuple([of.bare for of in given])
        last = _panes.walk(table.steps, table.calm, table.seen, place, numbers, ready, followed, traced[0], traced[1])
    else:
        last = _walk_plainly(table, given, numbers, pane, end, followed, traced)
    return Walked(last, traced[0], traced[1])


def _walk_plainly(
    table: Table, given: Sequence[Given], numbers: Ints, pane: int, end: int, followed: Ints, traced: Steps
) -> int:
    for k in range(pane, end):
        found = False
        for of_part in given:
            at, evidence = of_part.of_pane(k)
            if len(at):
                _add(table, of_part.first, at, *joined(evidence), int(numbers[k]))
                others = at[~np.isin(at, followed)]
                found |= of_part.looks and bool(table.steps[others].max(initial=0) >= table.least)
        traced[0, k - pane], traced[1, k - pane] = table.steps[followed], table.calm[followed]
        if found:
            return k
    return end


def _add(table: Table, first: int, at: Ints, log_e: Floats, news: Bools, number: int) -> None:
    columns, new = slice(first, first + log_e.shape[1]), at[~table.seen[at]]
    table.calm[new], table.seen[new] = (number - 1) & LARGEST, True
    old = table.steps[at, columns]
    log_r1 = old / STEPS
    log_r1 += log_e
    before = old.copy()
    np.copyto(old, steps_of(log_r1), where=news, casting="unsafe")
    rests = news & (log_e < 0) & (old <= table.rest_most) & (old + 1 >= before)
    table.steps[at, columns] = old
    calm = table.calm[at, columns]
    calm[(old <= table.calm_most) | rests] = number & LARGEST
    table.calm[at, columns] = calm


def is_there() -> bool:
    """Whether the C++ was built."""
    return _panes is not None
