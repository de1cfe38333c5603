"""Notices a consumer that has silently stopped: committed offsets that do not move while there is lag.

Known upstream: a consumer may stop fetching without an error. Nothing inside the process can mend it, so the worker exits
and its supervisor starts it again, from its snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STALL_S = 120.0

Progress = Mapping[Any, tuple[int | None, int | None]]
"""Partition to committed offset and high watermark, None where not known yet."""


def lag_of(progress: Progress) -> int | None:
    """Records not committed yet, over all partitions; None as long as some high watermark is not known."""
    if not progress or any(high is None for _, high in progress.values()):
        return None
    return sum(max((high or 0) - (committed or 0), 0) for committed, high in progress.values())


class Watchdog:
    """Remembers when each partition last moved.

    Args:
        stall_s: seconds without progress, with lag, after which a partition counts as stalled.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._moved: dict[Any, tuple[int | None, float]] = {}

    def stalled(self, progress: Progress, now_s: float) -> list[Any]:
        """Partitions that have stalled. ``now_s`` is a monotonic time; partitions that left are forgotten."""
        self._moved = {tp: seen for tp, seen in self._moved.items() if tp in progress}
        found = []
        for tp, (committed, high) in progress.items():
            known = self._moved.get(tp)
            if known is None or known[0] != committed or (committed or 0) >= (high or 0):
                self._moved[tp] = (committed, now_s)
            elif now_s - known[1] > self._stall_s:
                found.append(tp)
        return found
