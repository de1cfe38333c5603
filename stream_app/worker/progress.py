"""How far a worker is with each of its partitions, and a watchdog that notices where it stands still."""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.kafka.types import TopicPartition

Progress = Mapping[TopicPartition, tuple[int | None, int | None]]
"""Partition to the offset up to which everything is settled and where reading ends, None where not known yet: behind
that there may be records of an open transaction (:mod:`stream_app.kafka.isolation`)."""

STALL_S = 120.0
"""Time without progress, with lag, after which a partition counts as stalled."""


def lag_of(progress: Progress) -> int | None:
    """Records that are not settled yet, over all partitions; None as long as some end is not known."""
    if not progress or any(high is None for _, high in progress.values()):
        return None
    return sum(max((high or 0) - (settled or 0), 0) for settled, high in progress.values())


def lags_of(progress: Progress, topic: str) -> dict[int, int | None]:
    """Records that are not settled yet, by partition of a topic; None where not known."""
    return {tp.partition: lag_of({tp: offsets}) for tp, offsets in progress.items() if tp.topic == topic}


class Watchdog:
    """Notices a consumer that has silently stopped: settled offsets that do not move while there is lag.

    Known upstream: a consumer may stop fetching without an error. Nothing inside the process can repair it, so the
    worker ends and its supervisor starts it again, from its snapshots.

    Args:
        stall_s: how long they may stand still.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._moved: dict[TopicPartition, tuple[int | None, float]] = {}

    def stalled(self, progress: Progress, now_s: float) -> list[TopicPartition]:
        """Partitions that have stalled. ``now_s`` is a monotonic time; partitions that left are forgotten."""
        self._moved = {tp: last for tp, last in self._moved.items() if tp in progress}
        stalled = []
        for tp, (settled, high) in progress.items():
            last_settled, since_s = self._moved.get(tp, (None, now_s))
            if tp not in self._moved or last_settled != settled or (settled or 0) >= (high or 0):
                self._moved[tp] = (settled, now_s)
            elif now_s - since_s > self._stall_s:
                stalled.append(tp)
        return stalled
