"""A candidate since it first spoke: its figures, added up over panes, and what it is about."""

from __future__ import annotations

import math

import msgspec

from stream_app.config.registries import DETECTOR_KINDS, SPOILING
from stream_app.stages.judge.candidates import Candidate, Cause, Figures
from stream_app.stages.judge.harm import Tally

CAUSES_KEPT = 8
"""Causes of a candidate whose figures are kept."""
NAMES_MAX = 100
"""Causes that an incident is known by."""

_STILL = 0.1
"""Share of the evidence that is left while a pane counts for what is said."""
_PEAK = 0.999
"""The same while it counts for the figures; those after it wait until it is so again, for they may be after the change.
"""
_MAIN = 0.5
_QUIET_MS = 86_400_000
_BELOW, _TAKEN_DOWN = 0.01, 150.0
"""Nats by which a cause has less evidence than it had, where the change is over; by more WATCH takes it down before it
reaches the end of its scale."""
_LOG_MAX = 600.0

Key = tuple[str, str, str]
"""Rule, slicing, slice."""


class Sums(msgspec.Struct):
    """Figures of a cause, added up over panes.

    Attributes:
        weight: log evidence when it was last named; 0 where others have come before it.
        first: it is the one to name first: the simplest of those that explain it.
        top, until_ms: the largest weight, and the end of the pane in which it was so large last: the change in this was
            still there.
        counted: events, seen, expected, and events times the variance of one.
        waiting: the same of panes that may be after the change.
    """

    detector: str
    channel: int
    features: tuple[str, ...]
    direction: str
    measure: str
    unit: str
    says: str
    weight: float
    first: bool = False
    top: float = 0.0
    until_ms: int = 0
    counted: list[float] = msgspec.field(default_factory=lambda: [0.0] * 4)
    waiting: list[float] = msgspec.field(default_factory=lambda: [0.0] * 4)

    @property
    def key(self) -> tuple[str, int, tuple[str, ...]]:
        """What tells causes of one candidate apart."""
        return self.detector, self.channel, self.features

    @property
    def figures(self) -> Figures:
        """All that count, with the standard deviation of one event; NaN where there are none."""
        events, seen, expected, squares = self.counted if self.counted[0] > 0 else self.waiting
        if not events > 0:
            return Figures(0.0, float("nan"), float("nan"), float("nan"))
        return Figures(events, seen, expected, (squares / events) ** 0.5 if squares > 0 else float("nan"))

    def take(self, cause: Cause, counts: bool, settles: bool, adds: bool, end_ms: int) -> None:
        """A pane in which the cause was named.

        Args:
            counts: the change is still there, so that what is said of the cause is of now.
            settles: the evidence is as large as ever; where that of this cause is, its figures count, and so do those
                that wait.
            adds: the cause is one of the main ones; of others the pane has no figures, for all may be as usual there.
        """
        if counts:
            self.direction, self.measure, self.unit = cause.direction, cause.measure, cause.unit
            self.says, self.weight = cause.says, cause.weight
        below = self.top - cause.weight
        settles &= not _BELOW < below < _TAKEN_DOWN
        if settles:  # one that rests loses less than that in a pane, and more in a few
            self.top, self.until_ms = cause.weight if below >= _TAKEN_DOWN else max(self.top, cause.weight), end_ms
        figures = cause.figures
        if adds and figures.events > 0 and figures.seen == figures.seen and figures.expected == figures.expected:
            squares = figures.events * figures.sd**2 if figures.sd > 0 else 0.0
            events, seen, expected, before = self.waiting
            events, seen, expected = events + figures.events, seen + figures.seen, expected + figures.expected
            self.waiting = [events, seen, expected, before + squares]
        if settles:
            self.counted = [a + b for a, b in zip(self.counted, self.waiting, strict=True)]
            self.waiting = [0.0] * 4


class Heard(msgspec.Struct):
    """A candidate since it first spoke; in an incident a member of it.

    Attributes:
        kind: ``drift`` or ``fault``.
        model_id: what its figures were made under.
        newest_model: what scored it last.
        statistic: the largest evidence.
        since_ms: since when nothing spoke against a change.
        heard_ms: end of the last pane with a word of it.
        events_ms: end of the last pane in which it had events.
        over: its evidence has turned, or it was not heard of for too long.
        events: all of them.
        usual, total: its own events, or those that it should have, and those of the whole stream in the same panes.
        detector, features, direction: what it is about, as said last.
        names: every cause that came first, in order.
        largest_sd: the largest effect on a mean so far, in standard deviations; −1 where there was none.
        causes: the figures.
        fresh_ms: end of the last pane in which a cause had evidence that was not accepted.
        still_ms: end of the last pane in which its evidence was as large as ever: the change was still there.
        settled: causes that a person has accepted: nothing more is said of them while its evidence lasts.
        settled_columns: columns of the accepted drift.
        tally: its alarms under what scored it last.
    """

    rule: str
    slicing: str
    slice: str
    kind: str
    model_id: str
    newest_model: str
    since_ms: int
    statistic: float = 0.0
    heard_ms: int = 0
    events_ms: int = 0
    over: bool = False
    events: int = 0
    usual: float = 0.0
    total: float = 0.0
    detector: str = ""
    features: tuple[str, ...] = ()
    direction: str = ""
    names: list[str] = msgspec.field(default_factory=list)
    largest_sd: float = -1.0
    causes: list[Sums] = msgspec.field(default_factory=list)
    fresh_ms: int = 0
    still_ms: int = 0
    settled: list[str] = msgspec.field(default_factory=list)
    settled_columns: list[str] = msgspec.field(default_factory=list)
    tally: Tally = msgspec.field(default_factory=Tally)

    @classmethod
    def of(cls, candidate: Candidate, start_ms: int) -> Heard:
        """Before its first pane is taken in."""
        since_ms = min(candidate.since_ms, start_ms) or start_ms  # 0: nothing ever spoke against it
        model = candidate.model_id
        return cls(candidate.rule, candidate.slicing, candidate.slice, candidate.kind, model, model, since_ms)

    @property
    def key(self) -> Key:
        """Rule, slicing, slice."""
        return self.rule, self.slicing, self.slice

    @property
    def main(self) -> list[Sums]:
        """What it was last said to be: the cause to name first, and those with half of the largest evidence or more."""
        least = _MAIN * max((of.weight for of in self.causes), default=0.0)
        return [of for of in self.causes if of.first or of.weight >= least > 0]

    @property
    def spoils(self) -> bool:
        """Whether it is a fault of values: a model would learn it."""
        return any(name.split(" ")[0] in SPOILING for name in self.names)

    def take(self, candidate: Candidate, end_ms: int, total: float) -> None:
        """A pane's word of it.

        Args:
            total: events that the stream has in the pane, or should have.
        """
        causes, before_ms = self.fresh(candidate), self.heard_ms
        if candidate.model_id != self.newest_model:
            self.tally = Tally()
        self.tally.take(candidate.alarms, candidate.scored)
        self.heard_ms, self.over, self.newest_model = end_ms, candidate.over, candidate.model_id
        self.events += candidate.events
        self.events_ms = end_ms if candidate.events else self.events_ms
        self.usual, self.total = self.usual + usual(candidate), self.total + total
        self.statistic = max(self.statistic, self._statistic(candidate, causes))
        if any(of.weight > 0 for of in causes):
            self.fresh_ms = end_ms
        if candidate.remaining >= _PEAK:
            self.still_ms = end_ms
        if candidate.model_id != self.model_id:
            if candidate.remaining < _PEAK:  # what a newer model finds usual says nothing about the change
                return
            self.model_id, self.causes = candidate.model_id, []
        if causes and not candidate.over:
            if self.settled and not self.causes:
                self.since_ms = before_ms  # what was accepted had begun before
            self._take_causes(causes, candidate.remaining, end_ms)

    def _statistic(self, candidate: Candidate, causes: list[Cause]) -> float:
        """The evidence; where a person has accepted a part of it the largest of the rest."""
        if not self.settled:
            return candidate.statistic
        return math.exp(min(max((of.weight for of in causes), default=0.0), _LOG_MAX))

    def fresh(self, candidate: Candidate) -> list[Cause]:
        """Causes that nobody has accepted, and that do not follow from what was: where a column has moved, its spread
        and its dependence on others look changed too, and so do events as a whole.
        """
        return [of for of in candidate.causes if of.name not in self.settled and not self._follows(of)]

    def _follows(self, cause: Cause) -> bool:
        if not self.settled_columns or DETECTOR_KINDS.get(cause.detector) != "drift":
            return False
        return not cause.features or bool({*cause.features} & {*self.settled_columns})

    def settle(self) -> Heard:
        """What is remembered of it once a person has accepted all that it has shown."""
        shown = [*self.names, *(" ".join([of.detector, *of.features]) for of in self.causes)]
        rest = self.rest([*self.settled, *shown])
        moved = [of for of in self.causes if DETECTOR_KINDS.get(of.detector) == "drift" and of.weight > 0]
        rest.settled_columns = list(dict.fromkeys([*self.settled_columns, *(f for of in moved for f in of.features)]))
        return rest

    def rest(self, settled: list[str]) -> Heard:
        """What is remembered of it where nothing is new in it but what was accepted."""
        models = self.model_id, self.newest_model
        rest = Heard(*self.key, self.kind, *models, self.since_ms, heard_ms=self.heard_ms, events_ms=self.events_ms)
        rest.settled, rest.settled_columns = list(dict.fromkeys(settled)), self.settled_columns
        return rest

    def is_quiet(self, end_ms: int) -> bool:
        """Whether nothing but what was accepted has spoken for a day: how much remains of the rest nobody says."""
        return bool(self.settled) and bool(self.names) and end_ms - self.fresh_ms > _QUIET_MS

    def _take_causes(self, causes: list[Cause], remaining: float, end_ms: int) -> None:
        counts = remaining >= _STILL
        if counts:
            first = causes[0]
            self.detector, self.features, self.direction = first.detector, first.features, first.direction
            if first.name not in self.names and len(self.names) < NAMES_MAX:
                self.names.append(first.name)
            for known in self.causes:
                known.weight, known.first = 0.0, False
        least = _MAIN * max(of.weight for of in causes)
        for cause in causes:
            adds = cause is causes[0] or cause.weight >= least
            self._sums(cause).take(cause, counts, remaining >= _PEAK, adds, end_ms)
        if counts:
            self._sums(causes[0]).first = True
        self.causes = sorted(self.causes, key=lambda of: (not of.first, -of.weight, of.key))[:CAUSES_KEPT]
        self.largest_sd = max(
            [self.largest_sd, *(abs(size) for of in self.causes if (size := size_sd(of)) is not None)]
        )

    def _sums(self, cause: Cause) -> Sums:
        key = (cause.detector, cause.channel, cause.features)
        for known in self.causes:
            if known.key == key:
                return known
        self.causes.append(Sums(*key, cause.direction, cause.measure, cause.unit, cause.says, 0.0))
        return self.causes[-1]


def usual(candidate: Candidate) -> float:
    """Events that a slice has in a pane or, where they fail to come, should have."""
    amounts = [cause.figures.expected for cause in candidate.causes if cause.measure == PER_PANE]
    return max([float(candidate.events), *(amount for amount in amounts if amount == amount)])


PER_PANE = "events a pane"
"""Measure of causes that are about how many events come."""
MEAN = "mean"
"""Measure of causes that are about the mean of a column."""


def size_sd(of: Sums) -> float | None:
    """Difference of the mean in standard deviations of one event; None where that means nothing."""
    if of.measure != MEAN:
        return None
    figures = of.figures
    if not figures.events > 0 or not figures.sd > 0:
        return None
    return (figures.seen - figures.expected) / figures.events / figures.sd
