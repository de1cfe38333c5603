"""What depends on the clock: when a model is put in service, and when a silent source is passed over.

Each decision is written down before anything follows from it, so that a run can be repeated with the same ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from stream_app.config import Config
from stream_app.stages.decisions import Decision
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.state import StateStore
from stream_app.worker.status import unread
from stream_app.worker.watchdog import Progress

log = logging.getLogger(__name__)


class Decider:
    """Decides for the partitions of one worker.

    Args:
        config: the stream.
        store: where decisions are written down.
        pipeline: told of every decision.

    Attributes:
        service: the model that new panes are to be scored with; empty as long as there is none.
    """

    def __init__(self, config: Config, store: StateStore, pipeline: Pipeline) -> None:
        self._config, self._store, self._pipeline = config, store, pipeline
        self._catching_up: dict[int, int | None] = {}
        self._heard: dict[tuple[int, int], tuple[int, float]] = {}
        self.service = ""

    # Models --------------------------------------------------------------------------------------------------------

    def gained(self, partition: int) -> None:
        """A source partition was taken over, its state is loaded."""
        self._catching_up[partition] = None
        self.activate(partition)

    def lost(self, partition: int) -> None:
        """A source partition went to another worker."""
        self._catching_up.pop(partition, None)

    def activate_all(self) -> None:
        """Put the model in service on every source partition that may take it now."""
        for partition in sorted(self._pipeline.score_states):
            self.activate(partition)

    def activate(self, partition: int) -> None:
        """Put the model in service on one source partition, unless it is still catching up."""
        scored_before = bool(self._pipeline.score_states[partition].activations)
        if not self.service or (scored_before and partition in self._catching_up):
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

    def end_catching_up(self, progress: Progress) -> None:
        """Rows that were there when a partition was taken over may have been scored before, by a worker that was killed
        after it had sent what came of them: a new model waits until they are behind, or it would say of them anew.
        """
        for tp, (settled, high) in progress.items():
            if tp.topic == self._config.topics.events and tp.partition in self._catching_up:
                end = self._catching_up[tp.partition] = self._catching_up[tp.partition] or high
                if end is not None and (settled or 0) >= end and tp.partition in self._pipeline.score_states:
                    del self._catching_up[tp.partition]
                    self.activate(tp.partition)

    # Idle sources --------------------------------------------------------------------------------------------------

    def pass_over_idle(self, lags: Mapping[int, int | None]) -> list[tuple[int, Outputs]]:
        """Pass over sources that have nothing to say; what follows, by WATCH partition.

        Silence is not enough: a source with rows still to be read is slow, and what it has to say would be lost.

        Args:
            lags: records of each WATCH partition that are not settled yet.
        """
        now, patience_s, made = time.monotonic(), self._config.windows.idle_after.seconds, []
        for q, watcher in self._pipeline.watch_states.items():
            behind = watcher.behind()
            for partition, closed_ms in watcher.closed_ms.items():
                known, since = self._heard.get((q, partition), (-1, now))
                if closed_ms != known:
                    self._heard[q, partition] = (closed_ms, now)
                elif partition in behind and now - since >= patience_s and lags.get(q) == 0:
                    made += self._pass_over(q, partition)
        return made

    def _pass_over(self, q: int, partition: int) -> list[tuple[int, Outputs]]:
        if unread(self._config).get(partition) != 0 or self._pipeline.missing_for_watch(q):
            return []
        decision = self._pipeline.decide_pass_over(q, partition)
        return [] if decision is None else [(q, self._apply(decision))]

    def _apply(self, decision: Decision) -> Outputs:
        self._store.record(decision)
        return self._pipeline.apply(decision)
