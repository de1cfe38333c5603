"""What a detector is: it makes evidence of what a pane holds of each slice, against what is normal there.

A detector is one file here and one line in ``DETECTORS``; the generic checks then test it at once. Evidence is a log
e-value for each *bet* on each *channel*: a nonnegative variable with mean 1 at most while nothing changes, so that
:mod:`stream_app.stages.detection.mixture` can multiply it over panes and mix it over bets, channels and detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from flowlib.reference.moments import Normal, Sums, deviations
from flowlib.reference.reference import LAMBDAS, VARIES, Reference, hour_of_week
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import UNIT, PaneLayout
from stream_app.config import Config

Kind = Literal["drift", "fault"]
"""``drift``: the world has changed, a model may be asked for; ``fault``: the data have, and a model would learn it."""

_BETS = np.array(LAMBDAS)
_T = TypeVar("_T")
ZONE = 0.1
"""Changes of a mean below so many standard deviations of one event are nobody's business."""


@dataclass(frozen=True)
class Evidence:
    """Log e-values of p slices, or of one group.

    Attributes:
        log_e: ``(p, c, b)``.
        news: ``(p, c)`` False where the pane says nothing about a channel.
    """

    log_e: Floats
    news: Bools


@dataclass(frozen=True)
class Part:
    """What one model scored of consecutive panes of one slicing: p rows, each of a slice in a pane, pane by pane.

    Attributes:
        layout: columns of the rows.
        start_ms: ``(p,)`` of each row's pane.
        reference: what is normal under the model.
        known: ``(p,)`` row of the reference for each row's slice.
        slices: ``(p,)`` number of each row's slice in WATCH, distinct in each pane.
        rows: ``(p, w)`` int64.
        edges: pane k has the rows ``edges[k]`` to ``edges[k + 1]``; without any the rows are of one pane.
        standing: what was worked out of the reference for these rows, by name; see :meth:`once`.
    """

    layout: PaneLayout
    start_ms: Ints
    reference: Reference
    known: Ints
    slices: Ints
    rows: Ints
    edges: Sequence[int] = ()
    standing: dict[str, Any] = field(default_factory=dict, repr=False)
    _together: dict[bytes, Evidence] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: str, make: Callable[[Reference, Ints], _T]) -> _T:
        """What ``make`` gives of the reference and ``known``, and of nothing else: kept under a name of its own, as
        long as rows of the same slices come.
        """
        if name not in self.standing:
            self.standing[name] = make(self.reference, self.known)
        made: _T = self.standing[name]
        return made

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last row, the last excluded, of each pane."""
        return list(pairwise(self.edges)) if len(self.edges) else [(0, len(self.rows))]

    def panes(self) -> Iterator[Part]:
        """Each pane by itself, with what is worked out already."""
        deviations = self.deviations
        for a, b in self.spans:
            own = slice(a, b)
            of_pane = Part(
                self.layout, self.start_ms[own], self.reference, self.known[own], self.slices[own], self.rows[own]
            )
            # A cached property is an attribute once it has been asked for.
            of_pane.__dict__["deviations"] = deviations[0][own], deviations[1][own]
            yield of_pane

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
        scored = layout.get(rows, "scored")[:, None].astype(np.float64)
        sums = Sums(
            np.concatenate([self.present, scored], axis=1),
            layout.get(rows, "base") / UNIT,
            layout.get(rows, "square") / UNIT**2,
            layout.get(rows, "product") / UNIT**2,
        )
        return deviations(sums, self.once("normal", _normal))

    @cached_property
    def moments(self) -> Evidence:
        """Evidence of every moment channel, for every bet upward and downward: ``(p, c, 2 · 4)``."""
        n, deviation = self.deviations
        slack, inflation = self.once("slack", _slack)
        return moment_evidence(n, deviation, slack, self.reference.cumulants, inflation)

    def moments_together(self, chosen: Bools) -> Evidence:
        """:attr:`moments` of the sums over the chosen ``(p,)`` slices, each against its own normal, p = 1."""
        key = chosen.tobytes()  # all detectors of a rule choose the same slices
        if key not in self._together:
            own = self.deviations[0][chosen] * self.reference.standard_error[self.known[chosen]]
            n, deviation = (values[chosen].sum(axis=0, keepdims=True) for values in self.deviations)
            # What is unknown of the slices adds up by who is here: they may be others than those of the reference.
            unknown = np.sqrt((own**2).sum(axis=0, keepdims=True)) / np.maximum(n, 1e-9)
            slack = ZONE / 4 + 2.0 * np.maximum(self.reference.all_se, unknown)
            of_all = moment_evidence(n, deviation, slack, self.reference.cumulants, self.reference.all_inflation)
            self._together[key] = of_all
        return self._together[key]


def _normal(reference: Reference, known: Ints) -> Normal:
    return reference.normal().take(known)


def _slack(reference: Reference, known: Ints) -> tuple[Floats, Floats]:
    return ZONE + 2.0 * reference.standard_error[known], reference.inflation[known]


def moment_evidence(n: Floats, deviation: Floats, slack: Floats, cumulants: Floats, inflation: Floats) -> Evidence:
    """``(λ (± D − n·slack) − n K(± λ)) / r``; see :mod:`stream_app.stages.detection.detectors.moments`.

    Args:
        n, deviation, slack: ``(p, c)``.
        cumulants: ``(c, 2, b)``.
        inflation: ``(p, c)``, or ``(c,)`` for all.
    """
    b = cumulants.shape[2]
    log_e = np.empty((*n.shape, 2 * b))
    idle, scaled = (n * slack)[:, :, None], n[:, :, None]
    signed = deviation[:, :, None]
    log_e[:, :, :b] = (signed - idle) * _BETS - scaled * cumulants[:, 0]
    log_e[:, :, b:] = (-signed - idle) * _BETS - scaled * cumulants[:, 1]
    log_e /= inflation[..., None]
    return Evidence(log_e, n > 0)


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
    channels: int
    bets: int

    def __init__(self, config: Config, layout: PaneLayout) -> None: ...

    def evidence(self, part: Part) -> Evidence:
        """What panes say of each slice, row by row. What a detector remembers of slices, it remembers here: a pane that
        comes later may go by what an earlier one has left.
        """

    def together(self, part: Part, chosen: Bools) -> Evidence | None:
        """What one pane says of the chosen ``(p,)`` slices as one group, p = 1; None where it knows no groups."""

    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        """The columns that a channel is about, and in words what has happened, given the odds ``(b,)`` of its bets."""

    def to_state(self) -> Any:
        """What it remembers, as plain values and arrays."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


Make = Callable[[Config, PaneLayout], Detector]


class Stateless:
    """Base of the detectors that remember nothing, look at the pane's own slices, and know no groups."""

    plain: ClassVar[float] = 0.5
    everywhere: ClassVar[bool] = False

    def together(self, part: Part, chosen: Bools) -> Evidence | None:
        """See :class:`Detector`."""
        return None

    def to_state(self) -> Any:
        """See :class:`Detector`."""
        return None

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
