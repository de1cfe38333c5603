"""What the owners of source partitions, wherever they run, have still to read: asked of the broker.

What the group has committed of a partition was processed, and what came of it was sent before that. Where no record
stands behind it there is nothing to wait for; the markers of transactions are no records.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.worker.bridge import Bridge

_OLD_S = 2.0
"""What was found is asked again after so long."""
_WAIT_MS, _POLL_MS = 50, 200


class Unread:
    """Answers at once, with what was last found; the first answer is that nothing is known.

    Args:
        config: the stream.
        bridge: where the questions are asked.
    """

    def __init__(self, config: Config, bridge: Bridge) -> None:
        self._config, self._bridge = config, bridge
        self._found: dict[int, tuple[float, int | None]] = {}
        self._asking: dict[int, Future[None]] = {}

    def of(self, partition: int) -> int | None:
        """Records of a source partition that the group has not committed, about; 0 only where there are none."""
        found_s, number = self._found.get(partition, (-_OLD_S, None))
        asking = self._asking.get(partition)
        if time.monotonic() - found_s >= _OLD_S and (asking is None or asking.done()):
            self._asking[partition] = self._bridge.begin(self._ask(partition))
        return number if time.monotonic() - found_s < 2 * _OLD_S else None

    def close(self) -> None:
        """Ask no more."""
        for asking in self._asking.values():
            asking.cancel()

    async def _ask(self, partition: int) -> None:
        number: int | None = None
        with contextlib.suppress(TimeoutError, KafkaError):  # not known: it is asked again
            number = await self._look(TopicPartition(self._config.topics.events, partition))
        self._found[partition] = time.monotonic(), number

    async def _look(self, tp: TopicPartition) -> int | None:
        kafka = self._config.kafka
        client = client_settings(kafka, self._config.root) | reading(kafka) | {"fetch_max_wait_ms": _WAIT_MS}
        consumer = AIOKafkaConsumer(**client, group_id=kafka.group, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([tp])
            committed = await consumer.committed(tp)
            if committed is None:
                return None
            consumer.seek(tp, committed)
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=1)
            return max((consumer.highwater(tp) or 0) - committed, 1) if fetched else 0
        finally:
            await consumer.stop()
