"""Whether a change hurts the model in service, by its alarms: events with a p-value at or below :data:`ALARM`.

While a model and its data agree one event in a hundred is an alarm. Where that share is surely less than half as much
or more than twice as much, the model is *hurt*: its p-values do not say what they promise, and another one is worth its
training. Where it is surely more than twice as much this is a *burst*, and nobody can tell from figures whether the
world has changed or somebody floods the stream: no model is trained on such events until a person has accepted them.

*Surely* is a 95 % interval of Wilson's. Alarms come in clumps, so that events count as fewer: by the variance of the
alarms of a pane over that of as many independent events (a design effect, from :data:`PANES_MIN` panes on).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from flowlib.intervals import wilson_of_one
from schemas.evidence import ALARM

if TYPE_CHECKING:
    from stream_app.stages.judge.heard import Heard

LOW, HIGH = 0.5, 2.0
"""The band of the share of alarms, in multiples of :data:`ALARM`."""
ALARMS_MIN = 5
"""Fewer alarms than this make no burst: one strange event of one is no share."""
PANES_MIN = 5
"""Panes from which on their variance tells how much alarms clump."""
_LIKELIHOOD = "likelihood"


class Tally(msgspec.Struct):
    """Alarms among events, pane by pane.

    Attributes:
        panes: with events that were scored.
        scored, alarms: in all.
        squares, cross, sizes: sums over panes of alarms², alarms × events, and events².

    >>> clumped = Tally()
    >>> for alarms in (0, 0, 0, 0, 0, 0, 0, 0, 0, 20):
    ...     clumped.take(alarms, 100)
    >>> round(clumped.design, 1), clumped.share
    (18.4, 0.02)
    """

    panes: int = 0
    scored: int = 0
    alarms: int = 0
    squares: float = 0.0
    cross: float = 0.0
    sizes: float = 0.0

    def take(self, alarms: int, scored: int) -> None:
        """One more pane."""
        if scored:
            self.add(Tally(1, scored, alarms, float(alarms) ** 2, float(alarms) * scored, float(scored) ** 2))

    def add(self, other: Tally) -> None:
        """What another one has counted."""
        self.panes, self.scored = self.panes + other.panes, self.scored + other.scored
        self.alarms, self.squares = self.alarms + other.alarms, self.squares + other.squares
        self.cross, self.sizes = self.cross + other.cross, self.sizes + other.sizes

    @property
    def share(self) -> float:
        """Alarms among the events that were scored; 0 of none."""
        return self.alarms / self.scored if self.scored else 0.0

    @property
    def spread(self) -> float:
        """Sum over panes of the squared difference between their alarms and their part of all."""
        return max(self.squares - 2.0 * self.share * self.cross + self.share**2 * self.sizes, 0.0)

    @property
    def design(self) -> float:
        """How many events count as one independent one, 1 or more."""
        variance = self.scored * self.share * (1.0 - self.share)
        return max(self.spread / variance, 1.0) if self.panes >= PANES_MIN and variance > 0 else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share; everything where nothing was scored."""
        if not self.scored:
            return 0.0, 1.0
        design = self.design
        return wilson_of_one(self.alarms / design, self.scored / design)

    @property
    def is_burst(self) -> bool:
        """Whether surely more than twice as many are alarms as should be."""
        return self.alarms >= ALARMS_MIN and self.interval[0] > HIGH * ALARM

    @property
    def is_low(self) -> bool:
        """Whether surely less than half as many are."""
        return self.interval[1] < LOW * ALARM


def tally(members: Iterable[Heard]) -> Tally:
    """The alarms of members, of the slicing with most events. What two rules say of one slice counts once."""
    of_slice: dict[tuple[str, str], Tally] = {}
    for member in members:
        place = member.key[1:]
        if place not in of_slice or member.tally.scored > of_slice[place].scored:
            of_slice[place] = member.tally
    sums: dict[str, Tally] = {}
    for (slicing, _), of in sorted(of_slice.items()):
        sums.setdefault(slicing, Tally()).add(of)
    return max(sums.values(), key=lambda of: of.scored, default=Tally())


def harm_of(members: Iterable[Heard]) -> tuple[bool, bool]:
    """Whether the model in service is hurt by what members tell of: by its alarms, or its likelihood as such; and
    whether their alarms are a burst.
    """
    members = list(members)
    of = tally(members)
    burst = of.is_burst
    return burst or of.is_low or any(member.detector == _LIKELIHOOD for member in members), burst
