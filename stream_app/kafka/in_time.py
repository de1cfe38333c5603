"""Records of several partitions in the order of their times, each partition's in its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from schemas.intake import header_map
from stream_app.kafka.types import ConsumerRecord

WAITING_MAX = 100_000
"""Records that are put into order at a time: of more, those that lie further apart come as they were read."""

_TIME = "ce_time"


def in_time(records: Iterable[ConsumerRecord]) -> Iterator[ConsumerRecord]:
    """Records by the time that their CloudEvent has; one without a time comes right behind the one before it in its
    partition, and none before that one.
    """
    newest: dict[tuple[str, int], float] = {}
    waiting: list[tuple[float, str, int, int, ConsumerRecord]] = []
    for record in records:
        place = record.topic, record.partition
        newest[place] = max(_time_s(record), newest.get(place, float("-inf")))
        entry = (newest[place], *place, record.offset, record)
        if len(waiting) < WAITING_MAX:
            heapq.heappush(waiting, entry)
        else:
            yield heapq.heappushpop(waiting, entry)[-1]
    while waiting:
        yield heapq.heappop(waiting)[-1]


def _time_s(record: ConsumerRecord) -> float:
    try:
        time = datetime.fromisoformat(header_map(record.headers).get(_TIME, b"").decode())
        return time.replace(tzinfo=time.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")
