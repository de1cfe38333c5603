"""The partitions that a worker has: their state in the pipeline, and their snapshots."""

from __future__ import annotations

import logging

from stream_app.config import Config
from stream_app.errors import DriftflowError, SnapshotError
from stream_app.kafka.types import TopicPartition
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.progress import Progress
from stream_app.worker.state import StateStore

log = logging.getLogger(__name__)

_SHORT_S = 10.0


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
        self._short: dict[TopicPartition, float] = {}
        """Partitions whose log ends too early, and since when."""
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
        snapshot = self._store.load(self._name(tp))
        open_it = self._pipeline.open_score if self.is_source(tp) else self._pipeline.open_watch
        try:
            open_it(tp.partition, snapshot)
        except SnapshotError as error:
            raise SnapshotError(f"{self._store.path(self._name(tp))} cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # whole, but of another shape
            path, what = self._store.path(self._name(tp)), f"{type(error).__name__}: {error}"
            raise SnapshotError(f"{path} cannot be used: it makes no sense here ({what}); {REMEDY}") from error

    def save(self, tp: TopicPartition) -> None:
        """Write the snapshot of a partition durably; does nothing where it is not open here any more."""
        if tp in self:
            pipeline = self._pipeline
            snapshot = pipeline.snapshot_score if self.is_source(tp) else pipeline.snapshot_watch
            self._store.save(self._name(tp), snapshot(tp.partition))

    def check_logs(self, progress: Progress, now_s: float) -> None:
        """Notice a topic that was made anew under a running stream: its records would be skipped as done with.

        A high watermark may step back for a moment when another broker takes a partition over.

        Args:
            progress: with the high watermarks, of fetches.
            now_s: a monotonic time.

        Raises:
            DriftflowError: a log has ended for ten seconds before what was taken of it.
        """
        short = {tp: high for tp, (_, high) in progress.items() if high is not None and high < self._next_offset(tp)}
        self._short = {tp: self._short.get(tp, now_s) for tp in short}
        for tp, high in short.items():
            if now_s - self._short[tp] > _SHORT_S:
                raise DriftflowError(
                    f"{tp.topic}/{tp.partition} ends at {high}, and it was taken up to {self._next_offset(tp)} before: "
                    "the topic was made anew, or the broker has lost its end, and records below that are skipped; stop "
                    f"the workers and remove {self._store.path(self._name(tp))} to take what it holds now"
                )

    def _next_offset(self, tp: TopicPartition) -> int:
        """Records of an open partition below it are done with; 0 of one that is not open."""
        pipeline = self._pipeline
        state = (pipeline.score_states if self.is_source(tp) else pipeline.watch_states).get(tp.partition)
        return state.next_offset if state is not None else 0

    def close(self, tp: TopicPartition) -> None:
        """Forget a partition: another worker has it."""
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

    def _name(self, tp: TopicPartition) -> str:
        return f"{'source' if self.is_source(tp) else 'watch'}-{tp.partition}"
