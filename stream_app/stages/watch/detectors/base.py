"""What a detector is: it makes evidence of what a pane holds of each slice, against what is normal there.

A detector is one file here and one line in ``DETECTORS``; the generic checks then test it at once. Evidence is a log
e-value for each *bet* on each *channel*: a nonnegative variable with mean 1 at most while nothing changes, so that
:mod:`stream_app.stages.watch.evidence` can multiply it over panes and mix it over bets, channels and detectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from flowlib.reference.moments import Sums, deviations
from flowlib.reference.reference import LAMBDAS, VARIES, Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import UNIT, PaneLayout
from stream_app.config import Config

Kind = Literal["drift", "fault"]
"""``drift``: the world has changed, a model may be asked for; ``fault``: the data have, and a model would learn it."""

_BETS = np.array(LAMBDAS)
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
    """What one model scored of a pane of one slicing: p slices.

    Attributes:
        layout: columns of the rows.
        start_ms: of the pane.
        reference: what is normal under the model.
        known: ``(p,)`` row of the reference for each slice.
        slices: ``(p,)`` number of each slice in WATCH, distinct.
        rows: ``(p, w)`` int64.
    """

    layout: PaneLayout
    start_ms: int
    reference: Reference
    known: Ints
    slices: Ints
    rows: Ints
    _together: dict[bytes, Evidence] = field(default_factory=dict, init=False, repr=False)

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
        return deviations(sums, self.reference.normal().take(self.known))

    @cached_property
    def moments(self) -> Evidence:
        """Evidence of every moment channel, for every bet upward and downward: ``(p, c, 2 · 4)``."""
        n, deviation = self.deviations
        slack = ZONE + 2.0 * self.reference.standard_error[self.known]
        return moment_evidence(n, deviation, slack, self.reference.cumulants, self.reference.inflation[self.known])

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


def moment_evidence(n: Floats, deviation: Floats, slack: Floats, cumulants: Floats, inflation: Floats) -> Evidence:
    """``(λ (± D − n·slack) − n K(± λ)) / r``; see :mod:`stream_app.stages.watch.detectors.moments`.

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
        """What a pane says of each slice. What a detector remembers of slices, it remembers here."""

    def together(self, part: Part, chosen: Bools) -> Evidence | None:
        """What a pane says of the chosen ``(p,)`` slices as one group, p = 1; None where it has no word for groups."""

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
