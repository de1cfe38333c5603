"""What a detector is: it makes evidence of what a pane holds of each slice, against what is normal there.

A detector is one file here and one line in ``DETECTORS``; the generic checks then test it at once. Evidence is a log
e-value for each *bet* on each *channel*: a nonnegative variable with mean 1 at most while nothing changes, so that
:mod:`stream_app.stages.detection.mixture` can multiply it over panes and mix it over bets, channels and detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec
import numpy as np

from flowlib.reference.moments import Sums, deviations
from flowlib.reference.reference import LAMBDAS, VARIES, Reference, hour_of_week
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import UNIT, PaneLayout
from stream_app.config import Config
from stream_app.stages.detection.detectors import fast
from stream_app.stages.detection.detectors.fast import ZONE

Kind = Literal["drift", "fault"]
"""``drift``: the world has changed, a model may be asked for; ``fault``: the data have, and a model would learn it."""

Direction = Literal["up", "down", ""]

_BETS = np.array(LAMBDAS)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Evidence:
    """Log e-values of p slices, or of one group.

    Attributes:
        log_e: ``(p, c, b)``.
        news: ``(p, c)`` False where the pane says nothing about a channel.
    """

    log_e: Floats
    news: Bools


class Said(msgspec.Struct, frozen=True):
    """What the evidence of a channel says has happened.

    Attributes:
        features: columns it is about; none where it is about the slice as a whole.
        direction: of the change; "" where there is none.
        measure: what the channel's figures are: ``mean`` (in the column's unit), ``spread`` (square of the factor),
            ``share``, ``share missing``, ``events a pane``; "" where it has none.
        words: plain, without figures, such that "TEMP: " and the words are a sentence.
    """

    features: tuple[str, ...]
    direction: Direction
    measure: str
    words: str


PIECE = 2_048
"""Rows that are worked out at a time where there are very many."""


class GroupSums(msgspec.Struct, frozen=True):
    """Sums over slices of one model, each against its own normal; what evidence of them all together is made of.

    Attributes:
        events, deviations: ``(c,)`` of every moment channel.
        unknown: ``(c,)`` sums of squares of what the slices' references do not know, in events.
    """

    events: Floats
    deviations: Floats
    unknown: Floats


@dataclass(frozen=True)
class Part:
    """What one model scored of consecutive panes of one slicing: p rows, each of a slice in a pane, pane by pane.

    Attributes:
        layout: columns of the rows.
        start_ms: ``(p,)`` of each row's pane.
        reference: what is normal under the model.
        known: ``(p,)`` row of the reference for each row's slice.
        slices: ``(p,)`` number of each row's slice, distinct in each pane.
        rows: ``(p, w)`` int64.
        edges: pane k has the rows ``edges[k]`` to ``edges[k + 1]``; without any the rows are of one pane.
    """

    layout: PaneLayout
    start_ms: Ints
    reference: Reference
    known: Ints
    slices: Ints
    rows: Ints
    edges: Sequence[int] = ()

    def once(self, name: str, make: Callable[[Reference], _T]) -> _T:
        """What ``make`` gives of the reference, and of nothing else: of all its rows, of which ``known`` are those that
        are asked about. It is kept under a name of its own.
        """
        return fast.once(self.reference, name, make)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """First and last row, the last excluded, of each pane."""
        return list(pairwise(self.edges)) if len(self.edges) else [(0, len(self.rows))]

    @cached_property
    def expected(self) -> Floats:
        """``(p, 1)`` events that are usual at the hour of the week."""
        hour = hour_of_week(self.start_ms, self.reference.zone)
        return np.asarray((self.reference.rate[self.known] * self.reference.profile[hour])[:, None])

    @cached_property
    def present(self) -> Floats:
        """``(p, d)`` values that are there, of the columns that vary; of the others no channel says anything."""
        there = self.layout.get(self.rows, "scored")[:, None] - self.layout.get(self.rows, "missing")
        return np.asarray(there * (self.reference.kind == VARIES), dtype=np.float64)

    @cached_property
    def deviations(self) -> tuple[Floats, Floats]:
        """Events and deviations ``(p, c)`` of the moment channels; see :mod:`flowlib.reference.moments`."""
        layout, rows = self.layout, self.rows
        if fast.is_there():
            return fast.deviations(self.reference, layout, rows, self.known)
        scored = layout.get(rows, "scored")[:, None].astype(np.float64)
        sums = Sums(
            np.concatenate([self.present, scored], axis=1),
            layout.get(rows, "base") / UNIT,
            layout.get(rows, "square") / UNIT**2,
            layout.get(rows, "product") / UNIT**2,
        )
        return deviations(sums, self.reference.normal().take(self.known))

    def moments(self, first: int, channels: int, used: tuple[int, ...]) -> Evidence:
        """Evidence of some moment channels, for some bets upward, then downward: ``(p, channels, 2 · b)``.

        Args:
            first: the first of the channels.
            channels: how many.
            used: ``b`` of :data:`~flowlib.reference.reference.LAMBDAS`.
        """
        n, deviation = self.deviations
        if fast.is_there():
            return Evidence(*fast.moments(self.reference, self.known, n, deviation, (first, channels), used))
        place, known = slice(first, first + channels), self.known
        slack, cumulants = fast.slack(self.reference)[known, place], self.reference.cumulants[place][:, :, list(used)]
        inflation = self.reference.inflation[known, place]
        return moment_evidence(n[:, place], deviation[:, place], slack, cumulants, inflation, _BETS[list(used)])

    @cached_property
    def unknown(self) -> Floats:
        """``(p, c)`` squares of what the references of the slices do not know of their sums, in events."""
        return np.asarray((self.deviations[0] * self.reference.standard_error[self.known]) ** 2)

    def take(self, rows: Ints | slice) -> Part:
        """Some rows, of one pane."""
        columns = self.known[rows], self.slices[rows], self.rows[rows]
        return Part(self.layout, self.start_ms[rows], self.reference, *columns)

    def sums(self, chosen: Ints) -> GroupSums:
        """Sums over some rows, at least one, of one pane; of very many a piece at a time, to the same result."""
        if len(self.rows) <= PIECE:
            n, deviation = self.deviations
            return GroupSums(n[chosen].sum(axis=0), deviation[chosen].sum(axis=0), self.unknown[chosen].sum(axis=0))
        total: list[Floats] = []
        for first in range(0, len(chosen), PIECE):
            piece = self.take(chosen[first : first + PIECE])
            values = (*piece.deviations, piece.unknown)
            # Rows are added one after the other, so what was added before may stand above them.
            before = total or [np.zeros((0, one.shape[1])) for one in values]
            pairs = zip(before, values, strict=True)
            total = [np.concatenate([above, below]).sum(axis=0, keepdims=True) for above, below in pairs]
        return GroupSums(*(one[0] for one in total))

    def sums_of_panes(self) -> list[GroupSums | None]:
        """Sums over all rows of each pane; None where it has none."""
        if max((b - a for a, b in self.spans), default=0) > PIECE:  # how a pane is summed is its own affair
            return [
                self.sums(np.arange(a, b)) if b - a > PIECE else self.take(slice(a, b)).sums_of_panes()[0]
                for a, b in self.spans
            ]
        sizes = np.array([b - a for a, b in self.spans])
        first = np.array([a for a, _ in self.spans])[sizes > 0]
        if not len(first):
            return [None] * len(sizes)
        sums = [np.add.reduceat(values, first, axis=0) for values in (*self.deviations, self.unknown)]
        of_panes = iter(map(GroupSums, *sums))
        return [next(of_panes) if size else None for size in sizes.tolist()]

    def values(self, rows: Ints, columns: Ints) -> Floats:
        """Figures ``(n, 4)`` of the values of a column in a row, in its unit: see :data:`schemas.evidence.FIGURES`."""
        reference, known, start_ms, of_rows = self.reference, self.known[rows], self.start_ms[rows], self.rows[rows]
        n = (self.layout.get(of_rows, "scored")[:, None] - self.layout.get(of_rows, "missing")).astype(np.float64)
        seen = reference.value_sums(self.layout.get(of_rows, "value"), n)
        expected = n * reference.expected_value(known, start_ms, start_ms + reference.pane_ms)
        of_columns = np.stack([n, seen, expected, reference.expected_sd(known)], axis=2)
        return np.asarray(of_columns[np.arange(len(rows)), columns])


def shares(hits: Floats | Ints, trials: Floats | Ints, share: Floats) -> Floats:
    """Figures ``(n, 4)`` of hits among trials ``(n,)`` where a share is usual."""
    trials = trials.astype(np.float64)
    return np.stack([trials, hits.astype(np.float64), trials * share, np.sqrt(share * (1.0 - share))], axis=1)


def moment_evidence(
    n: Floats, deviation: Floats, slack: Floats, cumulants: Floats, inflation: Floats, bets: Floats
) -> Evidence:
    """``(λ (± D − n·slack) − n K(± λ)) / r``; see :mod:`stream_app.stages.detection.detectors.moments`.

    Args:
        n, deviation, slack: ``(p, c)``.
        cumulants: ``(c, 2, b)``.
        inflation: ``(p, c)``, or ``(c,)`` for all.
        bets: ``(b,)``.
    """
    b = cumulants.shape[2]
    log_e = np.empty((*n.shape, 2 * b))
    idle, scaled = (n * slack)[:, :, None], n[:, :, None]
    signed = deviation[:, :, None]
    log_e[:, :, :b] = (signed - idle) * bets - scaled * cumulants[:, 0]
    log_e[:, :, b:] = (-signed - idle) * bets - scaled * cumulants[:, 1]
    log_e /= inflation[..., None]
    return Evidence(log_e, n > 0)


def group_evidence(reference: Reference, sums: GroupSums) -> Evidence:
    """Evidence of every moment channel ``(1, c, 2 · 4)`` of the sums over slices, each against its own normal."""
    n, deviation = sums.events[None], sums.deviations[None]
    # What is unknown of the slices adds up by who is here: they may be others than those of the reference.
    unknown = np.sqrt(sums.unknown)[None] / np.maximum(n, 1e-9)
    slack = ZONE / 4 + 2.0 * np.maximum(reference.all_se, unknown)
    return moment_evidence(n, deviation, slack, reference.cumulants, reference.all_inflation, _BETS)


class Detector(Protocol):
    """One detector over the slices of one slicing."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    weight: ClassVar[float]
    """Its share of the alarms that a rule may raise while nothing changes, beside the other detectors of the rule."""
    plain: ClassVar[float]
    """It explains an alert where its log evidence is this share of the largest or more, if no earlier one does."""
    everywhere: ClassVar[bool]
    """Whether it looks at every slice that is known, in a pane without its events too."""
    groups: ClassVar[bool]
    """Whether it has a word for the sums over many slices."""
    channels: int
    bets: int

    def __init__(self, config: Config, layout: PaneLayout) -> None: ...

    def evidence(self, part: Part) -> Evidence:
        """What panes say of each slice, row by row. What a detector remembers of slices, it remembers here: a pane that
        comes later may go by what an earlier one has left.
        """

    def together(self, evidence: Evidence, reference: Reference, number: int) -> Evidence:
        """Its channels of the evidence of a group of slices, of p = 1, which has a number among the slices. Asked only
        where ``groups`` is set.
        """

    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        """What has happened, given the odds ``(b,)`` of a channel's bets, which add up to 1."""

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """Figures ``(n, 4)`` of channels ``(n,)`` in rows ``(n,)`` of panes: :data:`schemas.evidence.FIGURES`. NaN
        where it has none.
        """

    def keep(self, numbers: Ints) -> None:
        """Only the slices of these numbers stay, ascending: they are numbered anew from 0 on."""

    def to_state(self) -> Any:
        """What it remembers, as plain values and arrays."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


Make = Callable[[Config, PaneLayout], Detector]


class Stateless:
    """Base of the detectors that remember nothing, look at the pane's own slices, and know no groups."""

    plain: ClassVar[float] = 0.5
    everywhere: ClassVar[bool] = False
    groups: ClassVar[bool] = False

    def together(self, evidence: Evidence, reference: Reference, number: int) -> Evidence:
        """See :class:`Detector`."""
        raise NotImplementedError("it knows no groups")

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        """See :class:`Detector`: none."""
        return np.full((len(rows), 4), np.nan)

    def keep(self, numbers: Ints) -> None:
        """See :class:`Detector`."""

    def to_state(self) -> Any:
        """See :class:`Detector`."""
        return None

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
