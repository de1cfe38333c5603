"""Notices that nothing that comes is an event any more: no clock moves then, no pane closes, and no rule is asked."""

from __future__ import annotations

from collections.abc import Mapping

PART = "events"
LEAST = 20
"""So many events in a row of a source partition must be rejected before it is said."""


class Breaks:
    """Looks at the counters of source partitions."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._good: dict[int, tuple[int, int]] = {}
        """Of each partition the events that were of use, and those received when there was one more last."""

    def look(self, counters: Mapping[int, Mapping[str, int]]) -> dict[str, str]:
        """What is wrong, by part; empty where a partition's last events are of use.

        Args:
            counters: running totals by source partition (:data:`~stream_app.stages.score.state.COUNTERS`).
        """
        rejected: dict[int, int] = {}
        for partition, counted in counters.items():
            received, of_use = counted["received"], counted["received"] - counted["rejected"]
            known, since = self._good.get(partition, (-1, received))
            if of_use != known:
                self._good[partition] = of_use, received
            elif received - since >= LEAST:
                rejected[partition] = received - since
        if not rejected:
            return {}
        where = ", ".join(f"{self._topic}/{partition}" for partition in sorted(rejected)[:5])
        n = sum(rejected.values())
        return {PART: f"all of the last {n:,} events of {where} were rejected: `driftflow doctor` says why"}
