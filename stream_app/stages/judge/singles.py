"""Single strange events: which of them are told, so that a known number a day is expected while nothing changes.

**The budget.** Let b be ``alerts.single_events_per_day``. An event of a pane is told where its p-value is at or below

    θ = min(b / N, rest / n),

n being the events of the pane, N those of the busiest of the last 28 days as they are known by then, and ``rest`` what
is left of the day's budget b once the panes before have taken θ·n each. A p-value is valid where P(p ≤ θ) ≤ θ while
nothing changes, so that a pane is expected to have θ·n of them at most and a day b at most, by linearity alone: however
the events depend on each other, and however many come. (θ follows from numbers of events, and must not follow from
p-values.) On most days fewer are expected: a day spends as much of b as it has of the events of the busiest.

Events of slices with an open incident are its examples, and are not told here. What comes within a day of the last
message waits and is then one message with a count.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from flowlib.table import DAY_MS
from schemas.incidents import StrangeEvents
from schemas.records import TOP_MAX, TopEvent, record_id
from stream_app.config import Config
from stream_app.stages.judge import words
from stream_app.stages.judge.drafting import example, strangest
from stream_app.stages.judge.facts import PaneFacts

DAYS_KEPT = 28
"""Days whose busiest says how many events to reckon with."""


class _State(msgspec.Struct):
    """What is remembered.

    Attributes:
        day: number of the day that the last pane began in; −1 before the first.
        events: of that day so far.
        spent: of its budget.
        busiest: events of the days before, the last :data:`DAYS_KEPT` that had any, with their numbers.
        told_ms: end of the pane of the last message; −1 before the first.
        from_ms, count, more: what waits to be told: since when, how many, and whether there may be more.
        waiting: the strangest of them.
        threshold: of the last pane.
        largest: the largest by which one of those that wait was counted.
        smallest: the smallest p-value that was seen under the model in service; 1 where there was none.
        model_id: the model in service.
    """

    day: int = -1
    events: int = 0
    spent: float = 0.0
    busiest: list[tuple[int, int]] = msgspec.field(default_factory=list)
    told_ms: int = -1
    from_ms: int = 0
    count: int = 0
    more: bool = False
    waiting: list[TopEvent] = msgspec.field(default_factory=list)
    threshold: float = 0.0
    largest: float = 0.0
    smallest: float = 1.0
    model_id: str = ""


class Singles:
    """The strange events of a stream that belong to no incident."""

    def __init__(self, config: Config) -> None:
        self._config, self._pane_ms = config, int(config.windows.pane)
        self._per_day = config.alerts.single_events_per_day
        self._state = _State()
        self._busiest: int | None = None

    @property
    def threshold(self) -> float:
        """The largest p-value that was told of in the last pane."""
        return self._state.threshold

    @property
    def blind(self) -> bool:
        """Whether no event can be told at all: the p-values of the model in service are not fine enough. One over the
        number of rows that it was calibrated with is about the smallest that there is, and none that was seen came down
        to the threshold.
        """
        return self._state.smallest > self._state.threshold

    @property
    def smallest(self) -> float:
        """The smallest p-value that was seen under the model in service; 1 where no event was flagged."""
        return self._state.smallest

    def judge(self, facts: PaneFacts, taken: Collection[str]) -> list[StrangeEvents]:
        """Take a pane in; a message where one is due.

        Args:
            taken: slices of the first slicing that have an open incident.
        """
        state = self._state
        self._spend(facts)
        if facts.service != state.model_id:
            state.model_id, state.smallest = facts.service, 1.0
        state.smallest = min([state.smallest, *(of.p_value for of in facts.top)])
        told = [of for of in facts.top if of.p_value <= state.threshold and of.slice not in taken]
        if told:
            state.from_ms = state.from_ms if state.count else facts.start_ms
            state.count += len(told)
            state.largest = max(state.largest, state.threshold)
            state.more |= len(told) >= TOP_MAX
            state.waiting = strangest([*state.waiting, *told])
        due = state.told_ms < 0 or facts.end_ms - state.told_ms >= DAY_MS
        return [self._message(facts)] if state.count and due else []

    def _spend(self, facts: PaneFacts) -> None:
        """What the pane may take of the day's budget, and the threshold that follows."""
        state, day = self._state, facts.start_ms // DAY_MS
        if day != state.day:
            if state.events:
                state.busiest = [*state.busiest, (state.day, state.events)]
            state.busiest = [of for of in state.busiest if day - of[0] <= DAYS_KEPT]
            state.day, state.events, state.spent = day, 0, 0.0
            self._busiest = max((of for _, of in state.busiest), default=None)
        state.events += facts.events
        n = facts.events
        panes = max(DAY_MS // self._pane_ms, 1)
        known = n * panes if self._busiest is None else self._busiest
        rest = max(self._per_day - state.spent, 0.0)
        state.threshold = min(self._per_day / max(known, state.events), rest / n) if n else 0.0
        state.spent += state.threshold * n

    def _message(self, facts: PaneFacts) -> StrangeEvents:
        state, stream = self._state, self._config.stream
        message = StrangeEvents(
            id=record_id("strange-events", stream, state.from_ms, facts.end_ms),
            stream=stream,
            pane_start_ms=facts.start_ms,
            pane_end_ms=facts.end_ms,
            from_ms=state.from_ms,
            count=state.count,
            threshold=min(state.largest, 1.0),
            per_day=self._per_day,
            events=[example(of, self._config) for of in state.waiting],
            model_id=facts.service,
            summary=self._summary(facts),
        )
        state.told_ms, state.count, state.more, state.waiting, state.largest = facts.end_ms, 0, False, [], 0.0
        return message

    def _summary(self, facts: PaneFacts) -> str:
        state = self._state
        first = example(state.waiting[0], self._config)
        events = f"{state.count:,} single {'event stands' if state.count == 1 else 'events stand'} out"
        since = words.when(state.from_ms, self._config.event.timezone)
        blamed = f", mostly for its {first.blame[0].feature}" if first.blame else ""
        return (
            f"{'At least ' if state.more else ''}{events} since {since}: the strangest is of {first.slice} at "
            f"{words.when(first.event_time_ms, self._config.event.timezone)}{blamed} (partition {first.partition}, "
            f"offset {first.offset}); while nothing changes {words.figure(self._per_day)} a day are expected, or fewer."
        )

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        return msgspec.to_builtins(self._state)

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        self._state = msgspec.convert(state, _State)
        self._busiest = max((of for _, of in self._state.busiest), default=None)
