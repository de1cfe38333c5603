"""Which offsets of a partition may be committed: the bookkeeping of acks, without Faust and without a broker.

A partition's composites wait for their acks in offset order. An offset may be committed once every composite before it
is done. One that was handed out before a rebalance or a seek is dead: its ack has no effect, its records come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from stream_app.kafka.types import TopicPartition


class Token:
    """One composite that waits for its ack: ``last`` is the offset of its last record."""

    __slots__ = ("done", "last", "live")

    def __init__(self, last: int) -> None:
        self.last, self.done, self.live = last, False, True


class Acks:
    """Tokens and fetch positions by partition."""

    def __init__(self) -> None:
        self._tokens: dict[TopicPartition, deque[Token]] = {}
        self._positions: dict[TopicPartition, int] = {}

    def hand_out(self, partition: TopicPartition, last: int) -> Token:
        """A token for the composite that ends at offset ``last``; composites of a partition come in offset order."""
        token = Token(last)
        self._tokens.setdefault(partition, deque()).append(token)
        return token

    def committable(self) -> Iterator[TopicPartition]:
        """Partitions whose oldest composite is done."""
        return (partition for partition, tokens in list(self._tokens.items()) if tokens and tokens[0].done)

    def take_offset(self, partition: TopicPartition) -> int | None:
        """The offset after the done composites that wait for none before them, which are forgotten; None for none."""
        tokens, offset = self._tokens.get(partition, ()), None
        while tokens and tokens[0].done:
            offset = tokens.popleft().last + 1
        return offset

    def fetched(self, partition: TopicPartition, position: int) -> None:
        """All records below this offset have been handed out."""
        self._positions[partition] = position

    def settled(self, partition: TopicPartition, committed: int | None) -> int | None:
        """Offset up to which everything is done; None where not known.

        What is committed is settled, and where no composite waits so is all that was fetched: the markers of
        transactional producers take offsets, but are no records that could be committed.
        """
        position = self._positions.get(partition)
        if position is None or self._tokens.get(partition):
            return committed
        return max(committed or 0, position)

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions; their composites are dead."""
        for partition in list(partitions):
            self._positions.pop(partition, None)
            for token in self._tokens.pop(partition, ()):
                token.live = False

    def drop_all(self) -> None:
        """Forget every partition."""
        self.drop({*self._tokens, *self._positions})

    def __len__(self) -> int:
        """Composites that are neither committed nor dropped."""
        return sum(map(len, self._tokens.values()))
