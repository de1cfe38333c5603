"""The whole system on one page.

    records of a source partition                       partials of a partials partition
      │ decoding    bytes → events                        │ stage       which panes have all source partitions closed?
      │ screening   far future, duplicate, late           │ merging     blocks → one row for each slice
      │ scoring     log_prob, p_value, pit, blame         │ windows     rolling spans
      │ panes       additive columns per slice            │ judging     detectors → verdicts
      ▼ messages                                          ▼ judge/      policy → alerts; retraining → requests
    SCORE ──► partials (blocks, markers) ─────────────► WATCH ──► signals, points
      └─────► signals (anomalies, activations), dead letters, points

Each stage is pure: ``step(state, input) → outputs``. Two runtimes feed this class: :mod:`stream_app.worker.agents` from
Kafka, :mod:`stream_app.offline.replay` from a file. What depends on the wall clock enters as a *decision*, written down
before it is applied here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from schemas.incidents import Action
from schemas.records import ServiceChange
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.stages.decisions import (
    Acted,
    Activated,
    Decision,
    Joined,
    PassedOver,
    Service,
    ServiceVerb,
    actions_of,
    activations_of,
    engines_of,
    models_of,
    services_of,
    sources_of,
    watched_of,
)
from stream_app.stages.judge.stage import JudgeStage
from stream_app.stages.judge.state import JudgeState
from stream_app.stages.models import Models
from stream_app.stages.outputs import Outputs, Points
from stream_app.stages.score.stage import ScoreStage
from stream_app.stages.score.state import ScoreState
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState

SLICE_PANES_MAX = 20_000
"""Panes of a slice that a step of WATCH goes through where others wait for their turn: a second or two."""


class Pipeline:
    """The stages of a stream, for the partitions it is given.

    Args:
        config: the stream.
        sources: number of source partitions that WATCH waits for from the start; it waits for others by decision.
        decisions: decisions of earlier runs (after a crash) or of the run to be repeated.
        make_decisions: False in a replay that is given its decisions: it makes none of its own.

    Attributes:
        models: the models that may be put in service.
        schemas: those that bodies were written by; what a batch lacks is entered before it is scored.
        sources: source partitions that are known: those from the start, and those that a decision names.
        score_states: state of each source partition that is open here.
        watch_states: state of each partials partition that is open here.
        judge_state: state of JUDGE, where it is open here.
    """

    def __init__(
        self, config: Config, sources: int, decisions: Iterable[Decision] = (), make_decisions: bool = True
    ) -> None:
        self.config, self.make_decisions = config, make_decisions
        self.decisions: list[Decision] = list(decisions)
        self.models = Models(config)
        self.score_states: dict[int, ScoreState] = {}
        self.watch_states: dict[int, WatchState] = {}
        self.judge_state: JudgeState | None = None
        self._first_sources = sources
        self.sources = {*range(sources), *sources_of(self.decisions)}
        self._decided_models = models_of(self.decisions)
        self._score, self._watch, self._judge = ScoreStage(config), WatchStage(config), JudgeStage(config)
        self.schemas = self._score.schemas

    # The steps -----------------------------------------------------------------------------------------------------

    def score(self, raw: RawBatch) -> Outputs:
        """SCORE: records of a source partition in; partials, anomalies, dead letters and points out."""
        state = self.score_states[raw.partition]
        models = self.models.by_decision((model_id for _, model_id in state.activations), state.engines)
        return self._score.step(state, raw, models)

    def watch(
        self,
        partition: int,
        partials: Sequence[PartialMessage] = (),
        informed: bool = True,
        slice_panes_max: int | None = None,
    ) -> Outputs:
        """WATCH: messages of a partials partition in; alerts, retrain requests and points out.

        Where a pane waits for a model that is not here (:meth:`missing_for_watch`), the messages after it are not
        taken: hand in the same ones once it is.

        Args:
            partition: the partials partition.
            partials: consecutive messages.
            informed: whether every decision made before the messages were fetched is known here, so that what names
                another source partition or model is refused. Where it is False such a message and those after it are
                not taken, and ``Outputs.unknown`` is set: take over the decisions, then hand in the same ones.
            slice_panes_max: how many panes of a slice the step goes through, about; None for all. Where there are more
                ``Outputs.unfinished`` is set, and the messages after them are not taken.
        """
        known = Known(self.models.references, self._decided_models, informed)
        return self._watch.step(self.watch_states[partition], partition, partials, known, slice_panes_max)

    def judge(self, messages: Sequence[PartialMessage] = (), informed: bool = True) -> Outputs:
        """JUDGE: messages of the evidence topic in; incidents, retrain requests and points out.

        Where a pane waits for a model that is not here (:meth:`missing_for_judge`), call it again once it is. What
        names another model is refused, or not taken, as :meth:`watch` has it.
        """
        assert self.judge_state is not None
        known = self._decided_models
        return self._judge.step(self.judge_state, messages, self.models.references, known, informed)

    # Partitions come and go ----------------------------------------------------------------------------------------

    def open_score(self, partition: int, snapshot: bytes | None = None) -> None:
        """Start on a source partition, from its snapshot where there is one."""
        state = ScoreState.from_state(unpack(snapshot)) if snapshot is not None else ScoreState()
        state.activations = activations_of(self.decisions, partition)
        state.engines = engines_of(self.decisions, partition)
        self.score_states[partition] = state

    def open_watch(self, partition: int, snapshot: bytes | None = None, decided: int | None = None) -> None:
        """Start on a partials partition, from its snapshot where there is one, with its decisions: the first so many,
        all where that is None. :meth:`follow_watch` takes the others.
        """
        if snapshot is not None:  # one of no bytes is damaged
            state = WatchState.from_state(self.config, unpack(snapshot))
        else:
            state = WatchState.empty(self.config, self._first_sources)
        for decision in watched_of(self.decisions, partition)[:decided]:
            self._watch.follow(state, decision)
        self.watch_states[partition] = state

    def open_judge(self, snapshot: bytes | None = None, decided: int | None = None) -> None:
        """Start on the evidence topic, from a snapshot where there is one, with the first so many actions, all where
        that is None. :meth:`follow_judge` takes the others.
        """
        if snapshot is not None:
            state = JudgeState.from_state(self.config, unpack(snapshot))
        else:
            state = JudgeState.empty(self.config)
        state.acts = [act for act in actions_of(self.decisions)[:decided] if act.offset > state.acted_offset]
        self.judge_state = state

    def close_score(self, partition: int) -> None:
        """Forget a source partition: another worker has it."""
        self.score_states.pop(partition, None)

    def close_watch(self, partition: int) -> None:
        """Forget a partials partition: another worker has it."""
        self.watch_states.pop(partition, None)

    def close_judge(self) -> None:
        """Forget the evidence topic: another worker has it."""
        self.judge_state = None

    def snapshot_score(self, partition: int) -> bytes:
        """State of a source partition, ``next_offset`` included."""
        return pack(self.score_states[partition].to_state())

    def snapshot_watch(self, partition: int) -> bytes:
        """State of a partials partition, ``next_offset`` included."""
        return pack(self.watch_states[partition].to_state())

    def snapshot_judge(self) -> bytes:
        """State of JUDGE, ``next_offset`` included."""
        assert self.judge_state is not None
        return pack(self.judge_state.to_state())

    def is_watch_settled(self, partition: int) -> bool:
        """Whether all that can come of the messages taken so far has come: no pane waits for a model or a turn."""
        return self._watch.is_settled(self.watch_states[partition])

    def is_judge_settled(self) -> bool:
        """The same of JUDGE."""
        return self.judge_state is None or not self.judge_state.due()

    # Decisions -----------------------------------------------------------------------------------------------------

    def follow_watch(self, partition: int, decided: int) -> Outputs:
        """Let the decisions about a partials partition take effect that were left out when it was opened."""
        for decision in watched_of(self.decisions, partition)[decided:]:
            self._watch.follow(self.watch_states[partition], decision)
        return self.watch(partition)

    def follow_judge(self, decided: int) -> Outputs:
        """The same of JUDGE."""
        assert self.judge_state is not None
        outs = [
            self._judge.act(self.judge_state, act, self.models.references)
            for act in actions_of(self.decisions)[decided:]
        ]
        return Outputs(
            [m for out in outs for m in out.messages],
            Points(p for out in outs for p in out.points),
            changes=[change for out in outs for change in out.changes],
        )

    def reload(self, decisions: Iterable[Decision]) -> None:
        """Take over every decision of the stream; partitions that are opened from now on follow them."""
        self.decisions = list(decisions)
        self.sources |= sources_of(self.decisions)
        self._decided_models |= models_of(self.decisions)

    def missing_for_score(self, partition: int) -> set[str]:
        """Models in service on a source partition that have not arrived here yet."""
        return self.models.missing(model_id for _, model_id in self.score_states[partition].activations)

    def to_be_decoded(self, raw: RawBatch) -> Sequence[bytes | None]:
        """The bodies whose schemas a batch needs: its own, and those of events that are held before it."""
        state = self.score_states.get(raw.partition)
        if state is None or not self.schemas.framed or not state.timing.held:
            return raw.values
        return [*raw.values, *(held.value for held in state.timing.held)]

    def missing_for_watch(self, partition: int) -> set[str]:
        """Models that pending panes of a partials partition need and that have not arrived here yet."""
        return self.models.missing(self.watch_states[partition].needed_models())

    def missing_for_judge(self) -> set[str]:
        """Models that pending panes of JUDGE need and that have not arrived here yet."""
        return self.models.missing(self.judge_state.needed_models()) if self.judge_state is not None else set()

    def decide_activation(self, partition: int, model_id: str) -> Activated | None:
        """The decision to put a model in service on a source partition, at the first pane that no row has reached.

        None where decisions are given, or where the model is in service already. The caller writes the decision down
        durably, then calls :meth:`apply`.
        """
        state = self.score_states[partition]
        if state.activations and (not self.make_decisions or state.activations[-1][1] == model_id):
            return None
        start = state.next_free_pane(int(self.config.windows.pane))
        # The engine written down for the model before, else the one that it was loaded with.
        engine = engines_of(self.decisions, partition).get(model_id) or self.models.densities[model_id].engine.name
        return Activated(partition, start, model_id, engine)

    def decide_pass_over(self, partials_partition: int, partition: int) -> PassedOver | None:
        """The decision not to wait any longer for an idle source partition; None when it holds nobody up."""
        span = self.watch_states[partials_partition].behind().get(partition)
        return PassedOver(partials_partition, partition, *span) if span and self.make_decisions else None

    def decide_joins(self, partials_partition: int) -> list[Joined]:
        """The decisions to wait for the source partitions that are known, and that a partials partition does not wait
        for yet, from the first pane on that is not final there.
        """
        state, width = self.watch_states[partials_partition], self.config.topics.partitions
        new = sorted(self.sources - state.closed_ms.keys()) if self.make_decisions else []
        return [
            Joined(partials_partition, partition, state.final_ms) for partition in new if partials_partition < width
        ]

    def decide_action(self, offset: int, action: Action, refused: str = "") -> Acted | None:
        """The decision to take in what a person has said, now, or that nothing follows from it; None where JUDGE is not
        here, where it was taken in before, or where decisions are given.
        """
        state = self.judge_state
        if state is None or not self.make_decisions:
            return None
        last = max((act.offset for act in state.acts), default=state.acted_offset)
        return Acted(state.final_ms, offset, action, refused) if offset > last else None

    def decide_service(self, change: ServiceChange) -> Service | None:
        """The decision that another model is in service, as JUDGE says; None where it was made before, or where
        decisions are given.
        """
        if not self.make_decisions or any(one.id == change.id for one in services_of(self.decisions)):
            return None
        verb = msgspec.convert(change.verb, ServiceVerb)
        return Service(change.pane_end_ms, verb, change.model_id, change.returns_to, change.id)

    def apply(self, decision: Decision) -> Outputs:
        """Let a decision that has been written down take effect."""
        self.decisions.append(decision)
        if isinstance(decision, Activated):
            self.sources.add(decision.partition)
            self._decided_models.add(decision.model_id)
            score_state = self.score_states[decision.partition]
            score_state.activate(decision.pane_start_ms, decision.model_id)
            score_state.engines = engines_of(self.decisions, decision.partition)
            return Outputs()
        if isinstance(decision, Service):  # what scores a partition is a decision of its own
            return Outputs()
        if isinstance(decision, Acted):
            assert self.judge_state is not None
            return self._judge.act(self.judge_state, decision, self.models.references)
        self._watch.follow(self.watch_states[decision.partials_partition], decision)
        return self.watch(decision.partials_partition)
