"""The partitions that a worker has: their state in the pipeline, and their snapshots."""

from __future__ import annotations

import logging

from stream_app.config import Config
from stream_app.errors import SnapshotError
from stream_app.kafka.types import TopicPartition
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.state import ScoreState
from stream_app.stages.snapshot import REMEDY
from stream_app.stages.watch.state import WatchState
from stream_app.worker.state import StateStore

log = logging.getLogger(__name__)


class Partitions:
    """A partition of the events topic is scored, one of the partials topic is watched.

    Args:
        config: the stream.
        store: where snapshots are kept.
        pipeline: holds the states of the partitions that are open.
    """

    def __init__(self, config: Config, store: StateStore, pipeline: Pipeline) -> None:
        self._events, self._store, self._pipeline = config.topics.events, store, pipeline
        self._width, self._partials = config.topics.partitions, config.topics.partials
        self._unused: set[int] = set()
        self._moved: dict[TopicPartition, str] = {}
        """Partitions whose offset was set, so that it counts even where it is 0, to the topic id to keep."""
        self._counters_of_closed: dict[int, dict[str, int]] = {}

    def is_source(self, tp: TopicPartition) -> bool:
        """Whether it is a partition of the events topic."""
        return tp.topic == self._events

    def __contains__(self, tp: TopicPartition) -> bool:
        """Whether it is open here."""
        pipeline = self._pipeline
        return tp.partition in (pipeline.score_states if self.is_source(tp) else pipeline.watch_states)

    def open(self, tp: TopicPartition) -> None:
        """Start on a partition, from its snapshot where there is one.

        Raises:
            SnapshotError: its snapshot cannot be read, is damaged, or is of another version or shape.
        """
        if not self.is_source(tp) and tp.partition >= self._width and tp.partition not in self._unused:
            self._unused.add(tp.partition)
            log.warning(
                "Partition %d of %s stays unused: slices are spread over the %d that the stream began with",
                tp.partition,
                self._partials,
                self._width,
            )
        snapshot = self._store.load(self.name(tp))
        open_it = self._pipeline.open_score if self.is_source(tp) else self._pipeline.open_watch
        try:
            open_it(tp.partition, snapshot)
        except SnapshotError as error:
            raise SnapshotError(f"{self._store.path(self.name(tp))} cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # whole, but of another shape
            path, what = self._store.path(self.name(tp)), f"{type(error).__name__}: {error}"
            raise SnapshotError(f"{path} cannot be used: it makes no sense here ({what}); {REMEDY}") from error

    def save(self, tp: TopicPartition) -> None:
        """Write the snapshot of a partition durably; does nothing where it is not open here any more."""
        if tp in self:
            pipeline = self._pipeline
            snapshot = pipeline.snapshot_score if self.is_source(tp) else pipeline.snapshot_watch
            self._store.save(self.name(tp), snapshot(tp.partition))
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

    def _state(self, tp: TopicPartition) -> ScoreState | WatchState | None:
        pipeline = self._pipeline
        states = pipeline.score_states if self.is_source(tp) else pipeline.watch_states
        return states.get(tp.partition)

    def close(self, tp: TopicPartition) -> None:
        """Forget a partition: another worker has it."""
        self._moved.pop(tp, None)
        if self.is_source(tp):
            self._counters_of_closed = self.counters()
            self._pipeline.close_score(tp.partition)
        else:
            self._pipeline.close_watch(tp.partition)

    def missing_models(self, tp: TopicPartition) -> set[str]:
        """Models that an open partition needs and that have not arrived here: another worker put them in service."""
        if tp not in self:
            return set()
        pipeline = self._pipeline
        return (pipeline.missing_for_score if self.is_source(tp) else pipeline.missing_for_watch)(tp.partition)

    def counters(self) -> dict[int, dict[str, int]]:
        """Running totals of rows by source partition; of one that was closed, as they were then."""
        states = self._pipeline.score_states
        return self._counters_of_closed | {partition: dict(state.counters) for partition, state in states.items()}

    def name(self, tp: TopicPartition) -> str:
        """What its snapshot is called."""
        return f"{'source' if self.is_source(tp) else 'watch'}-{tp.partition}"
