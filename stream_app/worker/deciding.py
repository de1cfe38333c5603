"""What depends on the clock: when a model is put in service, when a silent source partition is passed over, from when
on WATCH waits for a new one, and when JUDGE takes in what people say.

Each decision is written down before anything follows from it, so that a run can be repeated with the same ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from schemas.incidents import Action
from schemas.records import ServiceChange
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.models.history import Entry, in_service
from stream_app.stages.decisions import Activated, Decision, actions_of, services_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.terminal import utc
from stream_app.worker.progress import Progress, lags_of
from stream_app.worker.state import StateStore

log = logging.getLogger(__name__)


class Decider:
    """Decides for the partitions of one worker.

    Args:
        config: the stream.
        store: where decisions are written down.
        pipeline: every decision is applied to it.
        replays: whether a partition has not come yet to where it had been before it was taken over: what is decided now
            would be decided in the past.

    """

    def __init__(
        self,
        config: Config,
        store: StateStore,
        pipeline: Pipeline,
        replays: Callable[[TopicPartition], bool] = lambda tp: False,
    ) -> None:
        self._config, self._store, self._pipeline, self._replays = config, store, pipeline, replays
        self._events, self._partials = config.topics.events, config.topics.partials
        self._evidence = TopicPartition(config.topics.evidence, 0)
        self._catching_up: dict[TopicPartition, int | None] = {}
        """Partitions taken over, to where their log ended then; None as long as that is not known."""
        self._moved: dict[tuple[int, int], tuple[int, float]] = {}
        """Partials and source partition to the time up to which the source has closed, and when that was first seen."""
        self._promoted: dict[int, tuple[str, int]] = {}
        """Models that are here, and the newest event that each was trained on, by the sequence of their notices."""
        self._put = ("", False)
        """The model that was put in service last, wherever it could be, and whether it was on trial then."""

    # Catching up ---------------------------------------------------------------------------------------------------

    def gained(self, tp: TopicPartition) -> None:
        """A partition was taken over; its state is loaded."""
        self._catching_up[tp] = None
        if tp.topic == self._events:
            self.activate(tp.partition)

    def lost(self, tp: TopicPartition) -> None:
        """A partition went to another worker."""
        self._catching_up.pop(tp, None)

    def end_catching_up(self, progress: Progress) -> None:
        """Let the partitions take a new model, a new source partition or an action that have come to where their log
        ended when they were taken over.

        A worker that was killed may have processed the rows before, and sent what came of them. After another decision
        it would come out differently.
        """
        for tp, (settled, high) in progress.items():
            if tp in self._catching_up:
                end = self._catching_up[tp] = self._catching_up[tp] or high
                if end is not None and (settled or 0) >= end:
                    del self._catching_up[tp]
                    if tp.topic == self._events and tp.partition in self._pipeline.score_states:
                        self.activate(tp.partition)

    # Models --------------------------------------------------------------------------------------------------------

    def promoted(self, model_id: str, sequence: int, created_ms: int) -> None:
        """A promoted model is here; what comes again is no news.

        Args:
            sequence: of its notice: a larger one is newer.
            created_ms: the newest event that it was trained on.
        """
        self._promoted[sequence] = model_id, created_ms

    @property
    def service(self) -> str:
        """The model that new panes are to be scored with, empty as long as there is none: the one that is pinned, else
        the newest that was promoted and not rolled back, of those that are here.
        """
        promotions = [Entry(model_id, "", ms) for _, (model_id, ms) in sorted(self._promoted.items())]
        changes = [
            Entry(one.model_id, one.id, one.at_ms, one.verb, one.returns_to)
            for one in services_of(self._pipeline.decisions)
        ]
        here = {entry.model_id for entry in promotions}
        chosen = in_service([*promotions, *changes])
        if chosen in here:
            return chosen
        return in_service([*promotions, *(entry for entry in changes if entry.verb == "rollback")]) if here else ""

    @property
    def service_ms(self) -> int | None:
        """The newest event that the model in service was trained on."""
        return dict(self._promoted.values()).get(self.service)

    def serve(self, changes: Sequence[ServiceChange]) -> None:
        """Write down that another model is in service, before anybody is told, and put it there."""
        for change in changes:
            decision = self._pipeline.decide_service(change)
            if decision is not None:
                self._apply(decision)
                log.warning("Model in service: %s %s by %s: %s", change.verb, change.model_id, change.by, change.why)
        if changes:
            self.activate_all()

    def activate_all(self) -> None:
        """Put the model in service on every source partition that may take it now."""
        self._put = self.service, self._on_trial
        for partition in sorted(self._pipeline.score_states):
            self.activate(partition)

    def activate(self, partition: int) -> None:
        """Put the model in service on one source partition, unless it is still catching up or this worker is behind."""
        before = self._pipeline.score_states[partition].activations
        source = TopicPartition(self._events, partition)
        if not self.service or (before and (source in self._catching_up or self._replays(source))):
            return
        # Its former owner has read on in the models topic: the model in service here is older than the partition's.
        if before and self._pipeline.models.missing([before[-1][1]]):
            return
        if before and self._holds_back(partition, before[-1][1]):
            return
        decision = self._pipeline.decide_activation(partition, self.service)
        if decision is not None:
            self._apply(decision)
            log.info(
                "Partition %d: model %s from pane %d on, scored by %s",
                partition,
                decision.model_id,
                decision.pane_start_ms,
                decision.engine,
            )

    @property
    def _on_trial(self) -> bool:
        """Whether the model in service scores a share of the source partitions only: it has come after another one, and
        neither has JUDGE extended it nor a person pinned it.
        """
        if not self._config.trainer.canary_share:
            return False
        chosen, decisions = self.service, self._pipeline.decisions
        first = next((of.model_id for of in decisions if isinstance(of, Activated)), chosen)
        changes = services_of(decisions)
        return chosen != first and not any(of.verb in ("extend", "pin") and of.model_id == chosen for of in changes)

    def _holds_back(self, partition: int, scored_by: str) -> bool:
        """Whether a source partition stays with its model while the one in service is tried on others; never with one
        that was rolled back.
        """
        if scored_by == self.service or not self._on_trial or partition in self._canaries():
            return False
        changes = services_of(self._pipeline.decisions)
        return not any(of.verb == "rollback" and of.model_id == scored_by for of in changes)

    def _canaries(self) -> list[int]:
        """The source partitions on which a new model is tried: the first ones, one at least, all where there is one."""
        sources = sorted(self._pipeline.sources)
        return sources[: max(int(self._config.trainer.canary_share * len(sources)), 1)]

    # New sources ---------------------------------------------------------------------------------------------------

    def learn(self, surely: bool = False, stranger_at: int | None = None) -> None:
        """Take over what other workers have decided since this was last called, and wait for the source partitions that
        it names: their owners write down that they score them before they send anything.

        Args:
            surely: read the file even where it seems unchanged: a network's file system may say so for a while.
            stranger_at: a partials partition whose next message is of a source partition that is not known there.
        """
        if surely or self._store.has_news():
            self._pipeline.reload(self._store.decisions())
            if self._put[0] and self._put != (self.service, self._on_trial):  # the worker that has JUDGE has decided so
                self.activate_all()
        self.join(stranger_at)

    def join(self, stranger_at: int | None = None) -> None:
        """Let WATCH wait for every source partition that is known, from the first pane on that is not final; where it
        has caught up, or has come to what a former owner cannot have taken without such a decision.
        """
        for partials_partition in self._present():
            behind = TopicPartition(self._partials, partials_partition) in self._catching_up
            if behind and partials_partition != stranger_at:
                continue
            for decision in self._pipeline.decide_joins(partials_partition):
                self._apply(decision)
                log.info(
                    "Partials partition %d waits for source partition %d from %d ms on",
                    partials_partition,
                    decision.partition,
                    decision.from_ms,
                )

    def _present(self) -> list[int]:
        """Partials partitions that may be decided about."""
        here = sorted(self._pipeline.watch_states)
        return [n for n in here if not self._replays(TopicPartition(self._partials, n))]

    # Idle sources --------------------------------------------------------------------------------------------------

    def pass_over_idle(self, progress: Progress) -> list[tuple[int, Outputs]]:
        """Pass over the source partitions that are idle; what follows, by partials partition.

        One is idle that holds others up and has closed no pane for ``windows.idle_after``, where WATCH has taken in all
        that was sent and the owner of the source partition has nothing left to read: with rows to read it is slow.
        """
        now_s, lags, outputs = time.monotonic(), lags_of(progress, self._partials), []
        for partials_partition in self._present():
            silent = self._silent(partials_partition, now_s)
            if lags.get(partials_partition) == 0:
                outputs += [out for partition in silent for out in self._pass_over(partials_partition, partition)]
        return outputs

    def _silent(self, partials_partition: int, now_s: float) -> list[int]:
        """Source partitions that hold others up and have closed no pane for long."""
        state, silent = self._pipeline.watch_states[partials_partition], []
        behind, patience_s = state.behind(), self._config.windows.idle_after.seconds
        for partition, closed_ms in state.closed_ms.items():
            last_ms, since_s = self._moved.get((partials_partition, partition), (-1, now_s))
            if closed_ms != last_ms:
                self._moved[partials_partition, partition] = (closed_ms, now_s)
            elif partition in behind and now_s - since_s >= patience_s:
                silent.append(partition)
        return silent

    def _pass_over(self, partials_partition: int, partition: int) -> list[tuple[int, Outputs]]:
        if self._store.unread(partition) != 0 or self._pipeline.missing_for_watch(partials_partition):
            return []
        decision = self._pipeline.decide_pass_over(partials_partition, partition)
        return [] if decision is None else [(partials_partition, self._apply(decision))]

    # Actions -------------------------------------------------------------------------------------------------------

    def may_act(self) -> bool:
        """Whether JUDGE is here and has come to where a worker that was killed may have judged."""
        pipeline = self._pipeline
        here = pipeline.judge_state is not None and self._evidence not in self._catching_up
        return here and not self._replays(self._evidence) and not pipeline.missing_for_judge()

    def acted(self) -> dict[str, str] | None:
        """Ids of the actions that were taken in, each with why nothing follows from it ("": something may); None where
        JUDGE is not here.
        """
        if self._pipeline.judge_state is None:
            return None
        return {act.action.id: act.refused for act in actions_of(self._pipeline.decisions)}

    def refused(self, action: Action) -> str:
        """Why nothing follows from an action, "" where something may: a model that was never promoted for this stream,
        as far as is known here, is put in service by no word, and taken out of it by none.
        """
        known = {model_id for model_id, _ in self._promoted.values()}
        if action.verb not in ("pin", "rollback") or action.model in known:
            return ""
        return (
            f"{action.by} asks to {'put' if action.verb == 'pin' else 'take'} model {action.model[:64] or '(none)'} "
            f"{'in' if action.verb == 'pin' else 'out of'} service, and no such model was promoted for stream "
            f"{self._config.stream}: `driftflow models list` has those that were"
        )

    def act(self, offset: int, action: Action) -> Outputs:
        """Take in what a person has said; what follows, nothing where it was taken in before.

        Args:
            offset: on the actions topic. In the decision it is larger than those of all before: where the topic was
                made anew, or a key was trusted only later, it is another number.
            action: genuine.
        """
        acts = actions_of(self._pipeline.decisions)
        if any(act.action.id == action.id for act in acts):
            return Outputs()
        number = max([offset, *(act.offset + 1 for act in acts)])
        decision = self._pipeline.decide_action(number, action, self.refused(action))
        if decision is None:
            return Outputs()
        out = self._apply(decision)
        if decision.refused:
            log.error("Nothing follows from an action: %s.", decision.refused)
        else:
            after = utc(decision.at_ms)
            log.info("%s says %s: taken in after the pane that ends at %s UTC", action.by, action.verb, after)
        return out

    def _apply(self, decision: Decision) -> Outputs:
        self._store.record(decision)
        return self._pipeline.apply(decision)
