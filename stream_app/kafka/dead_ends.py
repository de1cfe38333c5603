"""A record that kafka-python cannot take apart is an error at each poll, and not only at the first.

Its consumer keeps what is left of a fetch after such an error, finds nothing in it at the next poll, and looks again,
for ever, without a pause: a process would hang at the first batch that is damaged on the broker's disk. Here what has
failed is dropped, so that it is fetched again.

A private name of kafka-python is replaced here: ``tests/kafka/test_dead_ends.py`` fails where that has changed.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher

_TAKE = Fetcher.PartitionRecords.take


def leave() -> None:
    """Let every consumer of kafka-python in this process do so."""
    Fetcher.PartitionRecords.take = _take


def _take(records: Any, n: int | None = None) -> Any:
    try:
        return _TAKE(records, n)
    except Exception:
        records.drain()
        raise
