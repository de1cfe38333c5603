"""All stages in one process, on a file, with no broker. Same partitions, same offsets, same results.

Every event gets the partition and offset it would get on the broker (the producer's partitioner, file order), and the
signals come out per signals partition, so the two runtimes can be compared byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.schema_registry import registry_of
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.stages.decisions import Decision, width_of
from stream_app.stages.outputs import Outgoing, Outputs, Points
from stream_app.stages.partitioning import partition_for
from stream_app.stages.pipeline import Pipeline

BATCH_ROWS = 4_000
"""Rows of a batch; results do not depend on it."""


class Downstream:
    """WATCH and JUDGE of a pipeline, fed with what SCORE sends.

    Args:
        pipeline: with every partials partition and JUDGE open.
        keep: takes each message that they send.
    """

    def __init__(self, pipeline: Pipeline, keep: Callable[[Outgoing], None]) -> None:
        self._pipeline, self._keep = pipeline, keep
        self._partials_ends = [0] * pipeline.config.topics.partitions
        self._evidence_end = 0

    def take(self, sent: Iterable[Outgoing]) -> Points:
        """Messages of SCORE, those that are no partials among them; returns the points."""
        by_partition: dict[int, list[Outgoing]] = defaultdict(list)
        for message in sent:
            if message.role == "partials":
                by_partition[message.partition].append(message)
        points = Points()
        for q, partials in sorted(by_partition.items()):
            points += self._watch(q, partials)
        return points

    def _watch(self, partition: int, sent: list[Outgoing]) -> Points:
        first = self._partials_ends[partition]
        self._partials_ends[partition] += len(sent)
        return self.watched(self._pipeline.watch(partition, _fetched(first, sent)))

    def watched(self, out: Outputs) -> Points:
        """What a partials partition has come to; returns the points, those of JUDGE among them."""
        return self._kept(out) + self._judge([message for message in out.messages if message.role == "evidence"])

    def _judge(self, sent: list[Outgoing]) -> Points:
        first = self._evidence_end
        self._evidence_end += len(sent)
        return self._kept(self._pipeline.judge(_fetched(first, sent)))

    def _kept(self, out: Outputs) -> Points:
        for message in out.messages:
            self._keep(message)
        return out.points


def _fetched(first: int, sent: list[Outgoing]) -> list[PartialMessage]:
    return [PartialMessage(first + i, message.value, message.headers) for i, message in enumerate(sent)]


class LocalRun:
    """Feeds a pipeline from rows and keeps what it sends.

    Args:
        config: the stream.
        decisions: the decisions to repeat; without any the run makes its own.
        sources: partitions of the events, where they are read from a topic that may have more than partials partitions.
        keep: takes each message that is sent, where ``sent`` would grow too long.

    Attributes:
        sent: what was sent, by role and partition, in order; nothing where ``keep`` takes it.
        scored: what the last step of SCORE wanted done.

    Raises:
        DriftflowError: the decisions are of a run whose events topic had more partitions than its partials topic.
    """

    def __init__(
        self,
        config: Config,
        decisions: Iterable[Decision] = (),
        sources: int | None = None,
        keep: Callable[[Outgoing], None] | None = None,
    ) -> None:
        repeated = list(decisions)
        if sources is None and width_of(repeated) is not None:
            raise DriftflowError(
                "the decisions are of a run whose events topic grew, and a file does not say which event went to which "
                "partition: repeat it on the broker, with `driftflow worker --decisions`"
            )
        self._sources = sources or config.topics.partitions
        self.config = config = _no_wider(config, self._sources)
        self.pipeline = Pipeline(config, config.topics.partitions, repeated, make_decisions=not repeated)
        self.sent: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        self.scored = Outputs()
        self._keep = keep or self._remember
        self._downstream, self._registry = Downstream(self.pipeline, self._keep), registry_of(config)

    def start(self, model_id: str) -> None:
        """Open every partition, with this model as the first where no decision says otherwise."""
        for partition in range(self._sources):
            self.pipeline.open_score(partition)
        for partition in range(self.config.topics.partitions):
            self.pipeline.open_watch(partition)
        self.pipeline.open_judge()
        for partition in range(self._sources):
            decision = self.pipeline.decide_activation(partition, model_id)
            if decision is not None:
                self.pipeline.apply(decision)

    def feed(self, raw: RawBatch) -> Points:
        """Score a batch, and let WATCH and JUDGE see what comes of it; returns the points.

        Raises:
            RegistryError: it needs schemas that are not kept here, and the registry does not answer.
        """
        if self._registry is not None:
            self._registry.supply(self.pipeline.schemas, self.pipeline.to_be_decoded(raw))
        out = self.scored = self.pipeline.score(raw)
        for message in out.messages:
            self._keep(message)
        return out.points + self._downstream.take(out.messages)

    def pass_over(self, idle: Iterable[int]) -> Points:
        """Wait no longer for source partitions of which nothing more comes, as workers decide after a while; nothing
        where the decisions of a run are repeated. Returns the points.
        """
        points, idle = Points(), sorted(idle)
        for partials_partition in range(self.config.topics.partitions):
            for partition in idle:
                decision = self.pipeline.decide_pass_over(partials_partition, partition)
                if decision is not None:
                    points += self._downstream.watched(self.pipeline.apply(decision))
        return points

    def _remember(self, message: Outgoing) -> None:
        self.sent[message.role, message.partition].append(message)


def _no_wider(config: Config, sources: int) -> Config:
    """No more partials partitions than the events have partitions, as workers make their topics: for those beyond WATCH
    would wait without end.
    """
    narrow = msgspec.structs.replace(config.topics, partitions=min(sources, config.topics.partitions))
    return msgspec.structs.replace(config, topics=narrow)


def batches(config: Config, rows: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[RawBatch]:
    """Keyed rows as batches of consecutive offsets per partition, in file order."""
    return (raw for raw, _ in numbered_batches(config, ((0, *row) for row in rows)))


def numbered_batches(
    config: Config, rows: Iterable[tuple[int, bytes | None, bytes | None]]
) -> Iterator[tuple[RawBatch, list[int]]]:
    """Like :func:`batches` for rows that begin with a number; each batch with the numbers of its rows."""
    n = config.topics.partitions
    waiting: dict[int, tuple[list[int], list[bytes | None]]] = defaultdict(lambda: ([], []))
    ends = [0] * n
    for place, (number, key, value) in enumerate(rows):
        partition = partition_for(key, n, place) if n > 1 else 0
        numbers, values = waiting[partition]
        numbers.append(number)
        values.append(value)
        if len(values) >= BATCH_ROWS:
            del waiting[partition]
            yield _batch(config, partition, ends, values), numbers
    for partition, (numbers, values) in sorted(waiting.items()):
        yield _batch(config, partition, ends, values), numbers


def _batch(config: Config, partition: int, ends: list[int], values: list[bytes | None]) -> RawBatch:
    first = ends[partition]
    ends[partition] += len(values)
    return RawBatch(config.topics.events, partition, np.arange(first, ends[partition], dtype=np.int64), values)
