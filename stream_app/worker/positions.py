"""Where a consumer of aiokafka is on its partitions, and that retention has passed it.

A fetch below the start of a log is refused, and aiokafka goes on at that start without a word. What lies between was
not read, and nothing else tells that: a look at the log, seconds later, finds a worker that is far behind its start.

Private names of aiokafka are used here: ``tests/worker/test_positions.py`` fails where they have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiokafka.consumer import subscription_state
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from stream_app.kafka.types import TopicPartition
from stream_app.worker.acks import Acks
from stream_app.worker.progress import Progress

OnGone = Callable[[TopicPartition, int, int], None]
"""Called with a batch partition, the first offset that is gone unread, and the one that reading goes on from; before
any record from there on is handed out.
"""

_THEIRS = subscription_state.TopicPartitionState


def remember_jumps() -> None:
    """Call it before the first consumer of aiokafka starts in this process."""
    subscription_state.TopicPartitionState = Place


class Place(_THEIRS):  # type: ignore[misc,valid-type]
    """Where a consumer is on a partition.

    Attributes:
        jumped: the offset where a fetch was refused, and the later one that reading went on from; None where that was
            not so since it was last set to None.
    """

    def __init__(self, assignment: Any) -> None:
        super().__init__(assignment)
        self.jumped: tuple[int, int] | None = None
        self._left: int | None = None

    def await_reset(self, strategy: int) -> None:
        """There is nothing to read at the position."""
        self._left = self._position
        super().await_reset(strategy)

    def reset_to(self, position: int) -> None:
        """Go on where the log begins, or, at the start, where the group had come to."""
        left, self._left = self._left, None
        super().reset_to(position)
        if left is not None and left < position:
            self.jumped = (self.jumped[0] if self.jumped else left), position

    def seek(self, position: int) -> None:
        """Somebody wants to be elsewhere."""
        self._left = None
        super().seek(position)


class Positions:
    """The part of a :class:`~stream_app.worker.batch_transport.BatchConsumer` that tells where it is."""

    acks: Acks
    assignment: Callable[[], Iterable[TopicPartition]]
    highwater: Callable[[TopicPartition], int]
    transport: Any
    _batch: frozenset[str]
    _committed_offset: dict[TopicPartition, int | None]
    _thread: Any

    def progress(self) -> Progress:
        """Offset up to which everything is settled, and where reading ends, of each assigned batch partition; none as
        long as the consumer's thread is not up.
        """
        try:
            return {
                tp: (self.acks.settled(tp, self._committed_offset[tp]), self.highwater(tp))
                for tp in self._batch_only(self.assignment())
            }
        except ConsumerNotStarted:
            return {}

    def written_ends(self) -> dict[TopicPartition, int | None]:
        """High watermark of each assigned batch partition; none as long as the consumer's thread is not up."""
        try:
            return {tp: self._thread.written_end(tp) for tp in self._batch_only(self.assignment())}
        except ConsumerNotStarted:
            return {}

    def partitions_of(self, topic: str) -> set[int]:
        """Partitions that a subscribed topic has, as the broker last said; none as long as it has not."""
        try:
            return set(self._thread._ensure_consumer()._client.cluster.partitions_for_topic(topic) or ())
        except ConsumerNotStarted:
            return set()

    def _batch_only(self, tps: Iterable[TopicPartition]) -> set[TopicPartition]:
        return {TP(tp.topic, tp.partition) for tp in tps if tp.topic in self._batch}

    def _places(self) -> dict[TopicPartition, Place]:
        """None as long as the consumer's thread is not up."""
        try:
            assignment = self._thread._ensure_consumer()._subscription.subscription.assignment
        except ConsumerNotStarted:
            return {}
        places = {tp: assignment.state_value(tp) for tp in self._batch_only(self.assignment())}
        return {tp: place for tp, place in places.items() if place is not None}

    def _note_jumps(self) -> None:
        """Tell what is gone unread, before a record behind it is handed out: what the owner needs next is below it."""
        for tp, place in self._places().items():
            jumped, place.jumped = place.jumped, None
            if jumped is not None:
                first, end = max(jumped[0], self.transport.next_offset(tp) or 0), jumped[1]
                if first < end:
                    self.transport.on_gone(tp, first, end)

    def _note_positions(self) -> None:
        """Between two fetches everything below the positions has been handed out."""
        for tp, place in self._places().items():
            if place.has_valid_position:
                self.acks.fetched(tp, place.position)
