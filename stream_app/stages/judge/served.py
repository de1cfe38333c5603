"""What a model has done since it is in service: its week, pane by pane, and the bets against it."""

from __future__ import annotations

import msgspec

from flowlib.anytime import RateBet
from flowlib.table import DAY_MS
from schemas.evidence import ALARM, ModelPane
from stream_app.stages.judge.harm import Tally

WEEK = 7
"""Days whose figures tell how a model does."""
NOISY, SILENT = 1.25 * ALARM, 0.8 * ALARM
"""A model whose share of alarms is between the two, or below its former's, is in order."""
TWICE, SOME = 2.0, 0.001
"""A model may be unable to score so many times the share that the former could not, and so much more."""
LEVEL = 1e-3
"""Of each question about a model that is in order, the chance that it is ever answered against it."""
DESIGN_MAX = 10.0
"""No more events than this count as one: a model that does badly says little about how alarms clump."""
PANES_MIN = 24
"""Panes of a model from which on they say how its alarms clump."""
ENOUGH = 1_300.0
"""Independent events after which a model that is silent for good has been noticed."""
RUNS = 10.0
"""Events that cannot be scored come in runs: so many count as one."""
_KNOWN = 1_000
_RATE_MAX = 0.5


class Day(msgspec.Struct):
    """A day of a model: what it has seen, and what it could not score; its alarms pane by pane."""

    number: int
    seen: int = 0
    unscorable: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)


class Question(msgspec.Struct):
    """A bet against a model.

    Attributes:
        name: ``noisy``, ``silent`` or ``unscorable``.
        side: ``high`` where the share should be no larger than ``null``, ``low`` where no smaller.
        hits, events: alarms, and events that were scored; of ``unscorable`` those that could not be, and all.
    """

    name: str
    side: str
    null: float
    hits: int = 0
    events: int = 0

    def take(self, pane: ModelPane) -> None:
        """One more pane."""
        of_all = self.name == "unscorable"
        hits, events = (pane.unscorable, pane.seen) if of_all else (pane.alarms, pane.scored)
        self.hits, self.events = self.hits + hits, self.events + events

    def e_value(self, design: float) -> float:
        """Odds of the bet, where so many events count as one."""
        bet = RateBet(self.null, self.side, RUNS if self.name == "unscorable" else design)
        bet.take(self.hits, self.events)
        return bet.e_value


class Served(msgspec.Struct):
    """A model since its first pane in service.

    Attributes:
        since_ms: start of that pane.
        former: the model before it; "" of the first.
        clumps: the design of the former.
        questions: those that are still open; when its probation is over, none but whether it is silent.
        days: the last :data:`WEEK` that had events.
        scored: events, in all.
    """

    model_id: str
    since_ms: int
    former: str
    clumps: float
    questions: list[Question]
    days: list[Day] = msgspec.field(default_factory=list)
    scored: int = 0

    @classmethod
    def after(cls, model_id: str, since_ms: int, former: Served | None, tolerated: float) -> Served:
        """A model before its first pane.

        Args:
            former: what it follows; None for nothing.
            tolerated: share that a first model may be unable to score.
        """
        noisy, unscorable = NOISY, max(tolerated, SOME)
        if former is not None:
            noisy, unscorable = max(NOISY, former.alarms), TWICE * former.unscorable + SOME
        questions = [
            Question("noisy", "high", min(noisy, _RATE_MAX)),
            Question("unscorable", "high", min(unscorable, _RATE_MAX)),
        ]
        if former is None:  # it scores the history that it was trained on, which is less strange to it than new events
            return cls(model_id, since_ms, "", 1.0, questions)
        return cls(model_id, since_ms, former.model_id, former.design, [*questions, Question("silent", "low", SILENT)])

    def take(self, pane: ModelPane, start_ms: int) -> None:
        """One more pane."""
        number = start_ms // DAY_MS
        if not self.days or self.days[-1].number < number:
            self.days = [*self.days, Day(number)][-WEEK:]
        day = self.days[-1]
        day.seen, day.unscorable = day.seen + pane.seen, day.unscorable + pane.unscorable
        day.tally.take(pane.alarms, pane.scored)
        self.scored += pane.scored
        for question in self.questions:
            question.take(pane)

    def outlast_probation(self) -> None:
        """The time of its probation is over. Whether it is silent stays open until enough events could have told, for
        nothing else ever notices that: a stream of few events has not had them by then.
        """
        if not self.questions:
            return
        enough = ENOUGH * self.design
        self.questions = [of for of in self.questions if of.name == "silent" and of.events < enough]

    @property
    def is_tried(self) -> bool:
        """Whether it has scored so many events that what is wrong with it would have been found."""
        return self.scored >= ENOUGH * self.design

    def begin_anew(self) -> None:
        """What it has done so far says nothing about it."""
        for question in self.questions:
            question.hits = question.events = 0

    @property
    def alarms(self) -> float:
        """Share of alarms in its week; 0 where it has scored too little to tell."""
        alarms, scored = sum(day.tally.alarms for day in self.days), sum(day.tally.scored for day in self.days)
        return alarms / scored if scored >= _KNOWN else 0.0

    @property
    def unscorable(self) -> float:
        """Share that it could not score in its week."""
        seen = sum(day.seen for day in self.days)
        return sum(day.unscorable for day in self.days) / seen if seen else 0.0

    def found(self) -> Question | None:
        """What is surely so of it at :data:`LEVEL`, however often somebody looks; None where nothing is. Of a first
        model only its own panes can tell how its alarms clump, so that there have to be some.
        """
        if not self.former and self._panes < PANES_MIN:
            return None
        odds = {question.e_value(self.design): question for question in self.questions}
        return odds[max(odds)] if odds and max(odds) >= 1.0 / LEVEL else None

    @property
    def _panes(self) -> int:
        return sum(day.tally.panes for day in self.days)

    @property
    def design(self) -> float:
        """How many events count as one where its alarms clump within a day: by the variance of the alarms of a pane
        about the day's share, over that of as many independent events; no fewer than of the model before it.
        """
        tallies = [day.tally for day in self.days]
        variance = sum(of.scored * of.share * (1.0 - of.share) for of in tallies)
        if self._panes < PANES_MIN or not variance:
            return self.clumps
        return min(max(sum(of.spread for of in tallies) / variance, self.clumps), DESIGN_MAX)
