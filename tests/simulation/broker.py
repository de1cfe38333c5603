"""A broker in memory: logs, what is committed, and who is in the group.

It keeps to what Kafka promises and to nothing more: a message of a producer may come twice, may be in the log though
its sender was never told so, and is lost where the sender ends before it was sent. Messages of one sender to one
partition keep their order.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream_app.kafka.logs import Log as KnownLog
from stream_app.kafka.types import TopicPartition


class Record(NamedTuple):
    """A record as a client fetches it; its timestamp is how many the broker had taken before it.

    Attributes:
        producer: who has sent it; "" where that is no worker.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int = 0
    timestamp_type: int = 0
    producer: str = ""


@dataclass
class PartitionLog:
    """One partition.

    Attributes:
        records: all that were ever appended, by offset.
        start: first offset that retention has left.
        compacted: offsets of records that compaction has dropped.
    """

    records: list[Record] = field(default_factory=list)
    start: int = 0
    compacted: set[int] = field(default_factory=set)

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return len(self.records)


class Broker:
    """Topics by name.

    Args:
        sizes: partitions of each topic.

    Attributes:
        committed: the group's offsets.
        taken: records of all topics so far.
        withheld: topics of which no fetch brings anything now.
        former: logs of topics that were deleted, by partition, oldest first.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self.logs = {TopicPartition(name, n): PartitionLog() for name, size in sizes.items() for n in range(size)}
        self.topic_ids = {name: str(uuid.UUID(int=number + 1)) for number, name in enumerate(sizes)}
        self.committed: dict[TopicPartition, int] = {}
        self.former: dict[TopicPartition, list[PartitionLog]] = defaultdict(list)
        self.taken = 0
        self.withheld: set[str] = set()
        self._waiting: list[Any] = []

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Of a topic, in order."""
        return sorted(tp for tp in self.logs if tp.topic == topic)

    def append(
        self,
        tp: TopicPartition,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        key: bytes | None = None,
        producer: str = "",
    ) -> Record:
        """Add a record, and wake up who waits for one."""
        log = self.logs[tp]
        record = Record(*tp, log.end, key, value, tuple(headers), self.taken, producer=producer)
        self.taken += 1
        log.records.append(record)
        self.wake_all()
        return record

    def wake_all(self) -> None:
        """There is something to fetch."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    def wake(self, event: Any) -> None:
        """Set an event at the next record, of whatever partition."""
        self._waiting.append(event)

    def fetch(self, tp: TopicPartition, offset: int, most: int) -> list[Record]:
        """Records from an offset on; from the start of the log where there is no such offset."""
        log = self.logs[tp]
        if tp.topic in self.withheld:
            return []
        if not log.start <= offset <= log.end:
            offset = log.start
        records = log.records[offset : offset + most]
        return [record for record in records if record.offset not in log.compacted] if log.compacted else records

    def look(self, partitions: Any) -> dict[TopicPartition, KnownLog]:
        """What :func:`stream_app.kafka.logs.look` says."""
        return {
            TopicPartition(*tp): KnownLog(self.topic_ids[tp.topic], self.logs[tp].start)
            for tp in partitions
            if tp in self.logs
        }

    def expire(self, tp: TopicPartition, start: int) -> None:
        """Retention deletes what is below an offset."""
        self.logs[tp].start = start

    def grow(self, topic: str) -> None:
        """Give a topic one more partition."""
        self.logs[TopicPartition(topic, len(self.partitions(topic)))] = PartitionLog()

    def compact(self, topic: str) -> None:
        """Drop all but the newest record of each key, but for the last one of a partition."""
        for tp in self.partitions(topic):
            records = self.logs[tp].records
            newest = {record.key: record.offset for record in records}
            self.logs[tp].compacted |= {one.offset for one in records[:-1] if newest[one.key] != one.offset}

    def make_anew(self, topic: str, forget_commits: bool) -> None:
        """Delete a topic, and make one of the same name."""
        for tp in self.partitions(topic):
            self.former[tp].append(self.logs[tp])
            self.logs[tp] = PartitionLog()
            if forget_commits:
                self.committed.pop(tp, None)
        self.topic_ids[topic] = str(uuid.UUID(int=uuid.UUID(self.topic_ids[topic]).int + 1_000))

    def all_of(self, topic: str) -> Iterator[Record]:
        """Every record of a topic that is there, partition by partition."""
        for tp in self.partitions(topic):
            yield from self.logs[tp].records


class Reader:
    """A consumer outside any group, as kafka-python has it: what ``read_to_end`` uses of one."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._positions = broker, dict[TopicPartition, int]()

    def assign(self, partitions: Sequence[Any]) -> None:
        """Read these from their beginning."""
        self._positions = {TopicPartition(*tp): 0 for tp in partitions}

    def seek(self, tp: Any, offset: int) -> None:
        """Go on from an offset."""
        self._positions[TopicPartition(*tp)] = offset

    def assignment(self) -> set[TopicPartition]:
        """What is read."""
        return set(self._positions)

    def position(self, tp: Any, timeout_ms: int = 0) -> int:
        """Where the next poll begins."""
        return self._positions[TopicPartition(*tp)]

    def highwater(self, tp: Any) -> int:
        """Where the log ends."""
        return self._broker.logs[TopicPartition(*tp)].end

    def poll(self, timeout_ms: int = 0, max_records: int = 1_000) -> dict[TopicPartition, list[Record]]:
        """All that there is."""
        found = {tp: self._broker.fetch(tp, at, max_records) for tp, at in self._positions.items()}
        self._positions |= {tp: records[-1].offset + 1 for tp, records in found.items() if records}
        return {tp: records for tp, records in found.items() if records}


class FeedReader(Reader):
    """The same as aiokafka has it, for a feed: it waits for records."""

    def __init__(self, broker: Broker, topic: str, wait: Any) -> None:
        super().__init__(broker)
        self.assign(broker.partitions(topic))
        self._wait = wait

    async def start(self) -> None:
        """Nothing to do."""

    stop = start

    async def seek_to_beginning(self) -> None:
        """Read all once more."""
        self.assign(sorted(self.assignment()))

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        """What there is; where there is nothing, after a while."""
        found = self.poll()
        if not found:
            await self._wait(timeout_ms / 1_000)
        return found

    def last_stable_offset(self, tp: Any) -> int:
        """No transaction is open."""
        return self.highwater(tp)

    async def position(self, tp: Any) -> int:  # type: ignore[override]
        """Where the next fetch begins."""
        return self._positions[TopicPartition(*tp)]
