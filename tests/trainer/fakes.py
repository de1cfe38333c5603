"""Clients of a broker that keep what they are given, and hand out what they are told to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


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

    def close(self) -> None:
        self.closed = True


class FakeConsumer:
    """Hands out the records of a log from the positions that were sought, a few a poll.

    Args:
        log: partition to its bodies; the offset of each is its index.
        beginning: first offset that retention has left, by partition.
    """

    def __init__(self, log: dict[int, list[bytes]], beginning: dict[int, int] | None = None, a_poll: int = 3) -> None:
        self.log, self.beginning, self.a_poll = log, beginning or {}, a_poll
        self.positions: dict[Any, int] = {}
        self.paused: set[Any] = set()
        self.closed = False

    def assign(self, partitions: list[Any]) -> None:
        self.positions = dict.fromkeys(partitions, -1)

    def beginning_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return {tp: self.beginning.get(tp.partition, 0) for tp in partitions}

    def seek(self, tp: Any, offset: int) -> None:
        self.positions[tp] = offset

    def pause(self, *partitions: Any) -> None:
        self.paused |= set(partitions)

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        out = {}
        for tp, start in self.positions.items():
            values = self.log.get(tp.partition, [])[start : start + self.a_poll]
            if tp not in self.paused and values:
                out[tp] = [SimpleNamespace(offset=start + i, value=value) for i, value in enumerate(values)]
                self.positions[tp] = start + len(values)
        return out

    def close(self) -> None:
        self.closed = True
