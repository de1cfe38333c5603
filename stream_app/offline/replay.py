"""The same two stages in one process, on a file, with no broker. Same partitions, same offsets, same results.

Every event gets the partition and offset it would get on the broker (the producer's partitioner, file order), and the
signals come out per signals partition, so the two runtimes can be compared byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from stream_app.config import Config
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import Decision
from stream_app.stages.outputs import Outgoing, Outputs, Point
from stream_app.stages.partitioning import partition_for
from stream_app.stages.pipeline import Pipeline

CHUNK = 4_000


class LocalRun:
    """Feeds a pipeline from rows and keeps what it sends.

    Args:
        config: the stream.
        decisions: the decisions to repeat, or none to put ``service`` in service from the first pane on.

    Attributes:
        sent: what was sent, by role and partition, in order.
    """

    def __init__(self, config: Config, decisions: Iterable[Decision] = ()) -> None:
        given = list(decisions)
        n = config.topics.partitions
        self.config = config
        self.pipeline = Pipeline(config, n, given, make_decisions=not given)
        self.sent: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        self._partials = [0] * n

    def start(self, service: str) -> None:
        """Open every partition, with ``service`` as the first model where no decision says otherwise."""
        for partition in range(self.config.topics.partitions):
            self.pipeline.open_score(partition)
            self.pipeline.open_watch(partition)
            decision = self.pipeline.decide_activation(partition, service)
            if decision is not None:
                self.pipeline.apply(decision)

    def feed(self, raw: RawBatch) -> list[Point]:
        """Score a batch and let WATCH see what comes of it; returns the points."""
        out = self.pipeline.score(raw)
        points = list(out.points)
        for message in out.messages:
            if message.role == "partials":
                points += self._deliver(message).points
            else:
                self.sent[message.role, message.partition].append(message)
        return points

    def _deliver(self, message: Outgoing) -> Outputs:
        q = message.partition
        out = self.pipeline.watch(q, self._partials[q], message.value, dict(message.headers))
        self._partials[q] += 1
        self.sent["partials", q].append(message)
        for signal in out.messages:
            self.sent[signal.role, signal.partition].append(signal)
        return out


def batches(
    config: Config, rows: Iterable[tuple[bytes | None, bytes | None]], chunk: int = CHUNK
) -> Iterator[RawBatch]:
    """Keyed rows as batches of consecutive offsets per partition, in file order."""
    n = config.topics.partitions
    waiting: dict[int, list[bytes | None]] = defaultdict(list)
    offsets = [0] * n
    for at, (key, value) in enumerate(rows):
        partition = partition_for(key, n, at)
        waiting[partition].append(value)
        if len(waiting[partition]) >= chunk:
            yield _batch(config, partition, offsets, waiting.pop(partition))
    for partition, values in sorted(waiting.items()):
        yield _batch(config, partition, offsets, values)


def _batch(config: Config, partition: int, offsets: list[int], values: list[bytes | None]) -> RawBatch:
    first = offsets[partition]
    offsets[partition] += len(values)
    return RawBatch(config.topics.events, partition, np.arange(first, offsets[partition], dtype=np.int64), values)
