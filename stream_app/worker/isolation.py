"""Faust's consumer thread, reading by ``kafka.isolation``: Faust ties that to transactions of its own, which are not
used here.

Private methods of faust-streaming 0.15 are overridden here, as in :mod:`stream_app.worker.batch_transport`.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from stream_app.config import KafkaConfig
from stream_app.kafka.isolation import readable_end, reading
from stream_app.kafka.types import TopicPartition
from stream_app.worker.fetching import Columns, hand_out_columns
from stream_app.worker.membership import replaced, watch

FETCH_BYTES_MAX = 4 * 1024 * 1024
"""What a fetch brings of all partitions together at most: the memory that it takes, several times its size, must not
grow with their number.
"""
PARTITION_BYTES_MIN = 1024 * 1024
"""What it brings of one of them at least, so that composites come full; where all of them fit in, they keep in step."""
FETCH_WAIT_MS = 200
"""How long a fetch waits at the broker where there is nothing. Meanwhile no other goes there, and what is asked of it
over the same connection waits behind: a seek at the start, and partitions that have come free since.
"""


class IsolatedThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread of a consumer that reads as its ``kafka`` says, hands out columns of some topics, and passes over what
    is damaged.
    """

    def __init__(self, consumer: Any, kafka: KafkaConfig, columns: Columns, **kwargs: Any) -> None:
        self._kafka, self._columns = kafka, columns
        super().__init__(consumer, **kwargs)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # All of them are read when the consumer starts.
        consumer._isolation_level = reading(self._kafka)["isolation_level"]
        consumer._fetch_max_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES_MAX, FETCH_WAIT_MS
        hand_out_columns(consumer, self._columns)
        return consumer

    async def on_start(self) -> None:
        """Start the consumer, and end where another worker takes its name."""
        await super().on_start()
        if self._kafka.instance_env:
            watch(self._ensure_consumer(), lambda: self.crash(replaced(self._kafka)))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Share a fetch out among the partitions of columns; then as Faust does."""
        share = FETCH_BYTES_MAX // max(sum(tp.topic in self._columns.topics for tp in assigned), 1)
        self._ensure_consumer()._fetcher._max_partition_fetch_bytes = max(share, PARTITION_BYTES_MIN)
        await super().on_partitions_assigned(assigned, generation_id)

    def highwater(self, tp: TopicPartition) -> int | None:
        """Offset at which reading ends now, None before the first fetch."""
        return readable_end(self.written_end(tp), self._ensure_consumer().last_stable_offset(tp), self._kafka)

    def written_end(self, tp: TopicPartition) -> int | None:
        """The high watermark: behind the readable end lies what an open transaction holds back."""
        high: int | None = self._ensure_consumer().highwater(tp)
        return high

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's own complaints about a partition that does not move: not where there is nothing to read."""
        state, end = self._ensure_consumer()._subscription.subscription.assignment.state_value(tp), self.highwater(tp)
        if end is None or state is None or not state.has_valid_position or state.position < end:
            super().verify_event_path(now, tp)
        else:
            self._verify_aiokafka_event_path(now, tp)
