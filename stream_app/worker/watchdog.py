"""Notices a consumer that has silently stopped: settled offsets that do not move while there is lag.

Known upstream: a consumer may stop fetching without an error. Nothing inside the process can repair it, so the worker
ends and its supervisor starts it again, from its snapshots.
"""

from __future__ import annotations

from stream_app.kafka.types import TopicPartition
from stream_app.worker.progress import Progress

STALL_S = 120.0
"""Time without progress, with lag, after which a partition counts as stalled."""


class Watchdog:
    """Remembers when each partition last moved."""

    def __init__(self) -> None:
        self._moved: dict[TopicPartition, tuple[int | None, float]] = {}

    def stalled(self, progress: Progress, now_s: float) -> list[TopicPartition]:
        """Partitions that have stalled. ``now_s`` is a monotonic time; partitions that left are forgotten."""
        self._moved = {tp: last for tp, last in self._moved.items() if tp in progress}
        stalled = []
        for tp, (settled, high) in progress.items():
            last_settled, since_s = self._moved.get(tp, (None, now_s))
            if tp not in self._moved or last_settled != settled or (settled or 0) >= (high or 0):
                self._moved[tp] = (settled, now_s)
            elif now_s - since_s > STALL_S:
                stalled.append(tp)
        return stalled
