"""Which reading of a local time that clocks show twice is meant, for those who read events without judging them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stream_app.stages.batches import EventBatch
from stream_app.stages.score.event_time import expected_ms, nearer

_BEFORE = 16


class LocalTimes:
    """Reads times as SCORE does: of two readings the one that is nearer to what came before on the partition.

    Args:
        before: partition to the last event times, where reading goes on.
    """

    def __init__(self, before: Mapping[int, list[int]] | None = None) -> None:
        self._before: dict[int, list[int]] = dict(before or {})

    def read(self, events: EventBatch) -> EventBatch:
        """The events with their times; those of a partition must come in the order of their offsets."""
        times, later_ms = events.event_time_ms.tolist(), events.later_ms
        before = self._before.get(events.partition, [])
        if later_ms is not None and np.any(later_ms != events.event_time_ms):
            times = _read(before, times, later_ms.tolist())
            events = replace(events, event_time_ms=np.array(times, dtype=np.int64))
        self._before[events.partition] = [*before, *times][-_BEFORE:]
        return events


def _read(before: list[int], times: list[int], later: list[int]) -> list[int]:
    read = list(before)
    for time_ms, later_ms in zip(times, later, strict=True):
        is_plain = later_ms == time_ms or not read
        read.append(time_ms if is_plain else nearer(time_ms, later_ms, expected_ms(read[-_BEFORE:])))
    return read[len(before) :]
