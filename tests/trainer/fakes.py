"""Clients of a broker that keep what they are given, and hand out what they are told to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kafka.errors import OffsetOutOfRangeError


class FakeProducer:
    """Takes every record at once and keeps them in ``sent``; raises ``refuses`` in place of an acknowledgement."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.sent: list[SimpleNamespace] = []
        self.closed = False
        self.refuses = refuses

    def send(self, topic: str, **record: Any) -> Any:
        self.sent.append(SimpleNamespace(topic=topic, **record))
        return SimpleNamespace(get=self._acknowledge)

    def _acknowledge(self, timeout: float) -> None:
        if self.refuses is not None:
            raise self.refuses

    def close(self, timeout: float | None = None) -> None:
        self.closed = True


class FakeConsumer:
    """Hands out the records of a log from the positions that were sought, a few a poll.

    Args:
        log: partition to its bodies; the offset of each is its index. None is an offset that no record has: the marker
            of a transaction, or what compaction has removed.
        beginning: first offset that retention has left, by partition.
    """

    def __init__(
        self, log: dict[int, list[bytes | None]], beginning: dict[int, int] | None = None, a_poll: int = 3
    ) -> None:
        self.log, self.beginning, self.a_poll = log, beginning or {}, a_poll
        self.positions: dict[Any, int] = {}
        self.paused: set[Any] = set()
        self.closed = False

    def assign(self, partitions: list[Any]) -> None:
        self.positions = dict.fromkeys(partitions, -1)

    def assignment(self) -> set[Any]:
        return set(self.positions)

    def partitions_for_topic(self, _: str) -> set[int]:
        return set(self.log)

    def beginning_offsets(self, partitions: list[Any], timeout_ms: int | None = None) -> dict[Any, int]:
        return {tp: self.beginning.get(tp.partition, 0) for tp in partitions}

    def end_offsets(self, partitions: list[Any], timeout_ms: int | None = None) -> dict[Any, int]:
        return {tp: len(self.log.get(tp.partition, [])) for tp in partitions}

    def seek(self, tp: Any, offset: int) -> None:
        self.positions[tp] = offset

    def position(self, tp: Any, timeout_ms: int | None = None) -> int:
        return self.positions[tp]

    def highwater(self, tp: Any) -> int | None:
        return len(self.log[tp.partition]) if tp.partition in self.log else None

    def pause(self, *partitions: Any) -> None:
        self.paused |= set(partitions)

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        out = {}
        for tp, start in self.positions.items():
            if tp not in self.paused and start < self.beginning.get(tp.partition, 0):
                raise OffsetOutOfRangeError({tp: start})
            values = self.log.get(tp.partition, [])[start : start + self.a_poll]
            if tp in self.paused or not values:
                continue
            self.positions[tp] = start + len(values)
            records = [
                SimpleNamespace(offset=start + i, value=value, key=b"k%d" % (start + i))
                for i, value in enumerate(values)
                if value
            ]
            if records:
                out[tp] = records
        return out

    def close(self, timeout_ms: int | None = None) -> None:
        self.closed = True
