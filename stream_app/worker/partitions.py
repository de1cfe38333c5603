"""The partitions that a worker has: their state in the pipeline, and their snapshots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stream_app.config import Config
from stream_app.errors import SnapshotError
from stream_app.kafka.types import TopicPartition
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.state import StateStore

log = logging.getLogger(__name__)

Stage = Literal["score", "watch", "judge"]


@dataclass(frozen=True, slots=True)
class _Of:
    """What a pipeline does for the partitions of one stage.

    Attributes:
        stage: which.
        name: what their snapshots are called, before the number.
        states: of those that are open.
        open, close, snapshot, missing: of a partition.
    """

    stage: Stage
    name: str
    states: Callable[[], Mapping[int, Any]]
    open: Callable[[int, bytes | None], None]
    close: Callable[[int], None]
    snapshot: Callable[[int], bytes]
    missing: Callable[[int], set[str]]


def _stages(config: Config, pipeline: Pipeline) -> dict[str, _Of]:
    """Topic to the stage that takes it in. Of the evidence topic JUDGE has the one partition."""
    return {
        config.topics.events: _Of(
            "score",
            "source",
            lambda: pipeline.score_states,
            pipeline.open_score,
            pipeline.close_score,
            pipeline.snapshot_score,
            lambda partition: pipeline.missing_for_score(partition),
        ),
        config.topics.partials: _Of(
            "watch",
            "watch",
            lambda: pipeline.watch_states,
            pipeline.open_watch,
            pipeline.close_watch,
            pipeline.snapshot_watch,
            lambda partition: pipeline.missing_for_watch(partition),
        ),
        config.topics.evidence: _Of(
            "judge",
            "judge",
            lambda: {} if pipeline.judge_state is None else {0: pipeline.judge_state},
            lambda _, snapshot: pipeline.open_judge(snapshot),
            lambda _: pipeline.close_judge(),
            lambda _: pipeline.snapshot_judge(),
            lambda _: pipeline.missing_for_judge(),
        ),
    }


class Partitions:
    """A partition of the events topic is scored, one of the partials topic is watched, that of the evidence topic is
    judged.

    Args:
        config: the stream.
        store: where snapshots are kept.
        pipeline: holds the states of the partitions that are open.
    """

    def __init__(self, config: Config, store: StateStore, pipeline: Pipeline) -> None:
        self._store, self._pipeline, self._stages = store, pipeline, _stages(config, pipeline)
        self._width, self._topics = config.topics.partitions, config.topics
        self._said_unused: set[TopicPartition] = set()
        self._moved: dict[TopicPartition, str] = {}
        """Partitions whose offset was set, so that it counts even where it is 0, to the topic id to keep."""
        self._counters_of_closed: dict[int, dict[str, int]] = {}

    def stage_of(self, tp: TopicPartition) -> Stage:
        """Which stage takes in a partition of this topic."""
        return self._stages[tp.topic].stage

    def is_spare(self, tp: TopicPartition) -> bool:
        """Whether nobody writes to it and no stage is there for it: the evidence topic has more than its one."""
        return self.stage_of(tp) == "judge" and tp.partition > 0

    def __contains__(self, tp: TopicPartition) -> bool:
        """Whether it is open here."""
        return self._state(tp) is not None

    def open(self, tp: TopicPartition) -> None:
        """Start on a partition, from its snapshot where there is one.

        Raises:
            SnapshotError: its snapshot cannot be read, is damaged, or is of another version or shape.
        """
        if why := self._unused(tp):
            log.warning("Partition %d of %s stays unused: %s", tp.partition, tp.topic, why)
        if self.is_spare(tp):
            return
        snapshot = self._store.load(self.name(tp))
        try:
            self._stages[tp.topic].open(tp.partition, snapshot)
        except SnapshotError as error:
            raise SnapshotError(f"{self._store.path(self.name(tp))} cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # whole, but of another shape
            path, what = self._store.path(self.name(tp)), f"{type(error).__name__}: {error}"
            raise SnapshotError(f"{path} cannot be used: it makes no sense here ({what}); {REMEDY}") from error

    def _unused(self, tp: TopicPartition) -> str:
        """Why nothing comes on a partition, said once; "" where something may."""
        watched_not = tp.topic == self._topics.partials and tp.partition >= self._width
        if tp in self._said_unused or not (watched_not or self.is_spare(tp)):
            return ""
        self._said_unused.add(tp)
        if watched_not:
            return f"slices are spread over the {self._width} that the stream began with"
        return "all evidence is on partition 0"

    def save(self, tp: TopicPartition) -> None:
        """Write the snapshot of a partition durably; does nothing where it is not open here any more."""
        if tp in self:
            self._store.save(self.name(tp), self._stages[tp.topic].snapshot(tp.partition))
            if topic_id := self._moved.get(tp):
                self._store.keep_topic_id(self.name(tp), topic_id)
                self._moved[tp] = ""

    def next_offset(self, tp: TopicPartition) -> int | None:
        """Records of an open partition below it are done with; None where none was taken yet, or it is not open: what
        is committed counts then.
        """
        state = self._state(tp)
        known = state is not None and (state.next_offset > 0 or tp in self._moved)
        return state.next_offset if state is not None and known else None

    def behind(self, tp: TopicPartition, until: int) -> int:
        """How far an open partition is behind an offset; 0 where it is not open here."""
        state = self._state(tp)
        return max(until - state.next_offset, 0) if state is not None else 0

    def move(self, tp: TopicPartition, offset: int, topic_id: str = "") -> None:
        """Go on with an open partition from another offset, its windows and open panes stay; of another topic where
        there is an id, which is kept once the snapshot is: a crash between the two leaves both as they were.
        """
        state = self._state(tp)
        if state is not None:
            state.next_offset = offset
            self._moved[tp] = topic_id or self._moved.get(tp, "")

    def topic_id(self, tp: TopicPartition) -> str:
        """Which topic the state of a partition is of, saved yet or not; "" where that is not known."""
        return self._moved.get(tp) or self._store.topic_id(self.name(tp))

    def _state(self, tp: TopicPartition) -> Any:
        """Its state, which has a ``next_offset``; None where it is not open here."""
        return self._stages[tp.topic].states().get(tp.partition)

    def close(self, tp: TopicPartition) -> None:
        """Forget a partition: another worker has it."""
        self._moved.pop(tp, None)
        if self.stage_of(tp) == "score":
            self._counters_of_closed = self.counters()
        if tp in self:
            self._stages[tp.topic].close(tp.partition)

    def missing_models(self, tp: TopicPartition) -> set[str]:
        """Models that an open partition needs and that have not arrived here: another worker put them in service."""
        return self._stages[tp.topic].missing(tp.partition) if tp in self else set()

    def counters(self) -> dict[int, dict[str, int]]:
        """Running totals of rows by source partition; of one that was closed, as they were then."""
        states = self._pipeline.score_states
        return self._counters_of_closed | {partition: dict(state.counters) for partition, state in states.items()}

    def name(self, tp: TopicPartition) -> str:
        """What its snapshot is called."""
        return f"{self._stages[tp.topic].name}-{tp.partition}"
