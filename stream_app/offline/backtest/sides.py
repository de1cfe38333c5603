"""Two ways to judge one history: SCORE runs once, WATCH and JUDGE once for each side; the code is the workers'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.incidents import Incident, StrangeEvents
from stream_app.config import Config
from stream_app.offline.replay import Downstream, LocalRun
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import Activated, Decision
from stream_app.stages.outputs import Outgoing, Points
from stream_app.stages.pipeline import Pipeline


@dataclass
class Heard:
    """What people are told on one side.

    Attributes:
        incidents: every message, in order, those that are silenced among them.
        strange: messages about single events.
        requests: how often a model was asked for.
    """

    incidents: list[Incident] = field(default_factory=list)
    strange: list[StrangeEvents] = field(default_factory=list)
    requests: int = 0

    def take(self, message: Outgoing) -> None:
        """A message of SCORE, WATCH or JUDGE."""
        if message.role != "signals":
            return
        record = decode_event(message.value, message.headers)
        if isinstance(record, Incident):
            self.incidents.append(record)
        elif isinstance(record, StrangeEvents):
            self.strange.append(record)
        elif dict(message.headers).get("ce_type") == b"driftflow.retrain-request.v1":
            self.requests += 1


class Sides:
    """The rules in service, and others, over the same events.

    Args:
        config: the stream as it is.
        rules: the same with other rules.
        decisions: of the run in service: which model scored what, what people said, who was passed over. Without any,
            one model scores everything and nobody says anything.
        densities: every model that they name, or the one to score with.
        sources: partitions of the events topic; None for a file.

    Attributes:
        service, others: what people are told.
        events: how many there were.
        span_ms: the time of the panes that were judged.
    """

    def __init__(
        self,
        config: Config,
        rules: Config,
        decisions: Sequence[Decision],
        densities: Iterable[Density],
        sources: int | None = None,
    ) -> None:
        self.service, self.others, self.events = Heard(), Heard(), 0
        self._run = _Run(config, decisions, sources, self.service)
        self._other = Pipeline(rules, config.topics.partitions, decisions, make_decisions=not decisions)
        densities = list(densities)
        for density in densities:
            self._run.pipeline.models.add(density)
            self._other.models.add(density)
        self._run.start(densities[0].model_id)
        for decision in self._run.pipeline.decisions:
            if isinstance(decision, Activated) and decision not in self._other.decisions:
                self._other.open_score(decision.partition)  # no event goes there: it has to know the models
                self._other.apply(decision)
        for partition in range(config.topics.partitions):
            self._other.open_watch(partition)
        self._other.open_judge()
        self._downstream = Downstream(self._other, self.others.take)

    @property
    def span_ms(self) -> tuple[int, int]:
        """First and last event time that was judged; the same twice where nothing was."""
        state = self._run.pipeline.judge_state
        assert state is not None
        return (self._run.first_ms, max(state.final_ms, self._run.first_ms))

    def feed(self, raw: RawBatch) -> None:
        """Let both sides see consecutive events of a partition."""
        self._run.feed(raw)
        self.events += len(raw)
        for message in self._run.scored.messages:
            self.others.take(message)
        self._downstream.take(self._run.scored.messages)


class _Run(LocalRun):
    """A run that keeps what people are told, and nothing else: a history may be long."""

    def __init__(self, config: Config, decisions: Sequence[Decision], sources: int | None, heard: Heard) -> None:
        super().__init__(config, decisions, sources, heard.take)
        self.first_ms = 0

    def feed(self, raw: RawBatch) -> Points:
        points = super().feed(raw)
        if not self.first_ms and points:
            self.first_ms = min(point.time_ms for point in points)
        return points
