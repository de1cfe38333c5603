"""Which partition things go to.

Events: by Kafka's default partitioner, so that a run without a broker places them the same. Source:
``org.apache.kafka.common.utils.Utils.murmur2``; pinned to kafka-python's result by a test.

Signals: one writer a partition, so that each partition is a total order; but health of all processes, which no replay
compares, stands among the trainer's. A stream has W partials partitions from its first start on, and the events topic
may grow: no writer moves when it does. In order: SCORE of the source partitions below W, JUDGE, the trainer, SCORE of
the source partitions from W on.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 of ``key``, unsigned."""
    whole = len(key) & ~3
    h = _SEED ^ len(key)
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = h * _M & _MASK ^ k
    if whole != len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition_for(key: bytes | None, n: int, row: int = 0) -> int:
    """Partition in ``[0, n)`` of an event; without a key the rows go round the partitions in turn."""
    assert n > 0
    return row % n if key is None else (murmur2(key) & 0x7FFFFFFF) % n


@lru_cache(maxsize=65_536)
def slice_partition(slicing: str, name: str, n: int) -> int:
    """The partials partition, of n, that looks after a slice: a stable hash."""
    return partition_for(f"{slicing}\0{name}".encode(), n)


def slice_partitions(slicing: str, names: list[str], n: int) -> list[int]:
    """:func:`slice_partition` of many slices."""
    if n == 1:
        return [0] * len(names)
    if _panes is None:
        return [slice_partition(slicing, name, n) for name in names]
    hashes = np.empty(len(names), dtype=np.int64)
    _panes.hash_names(f"{slicing}\0".encode(), names, hashes)
    places: list[int] = ((hashes & 0x7FFFFFFF) % n).tolist()
    return places


def score_signals(source: int, width: int) -> int:
    """Signals partition that SCORE of a source partition writes to, beside ``width`` partials partitions."""
    return source if source < width else source + 2


def judge_signals(width: int) -> int:
    """Signals partition that JUDGE writes to."""
    return width


def trainer_signals(width: int) -> int:
    """Signals partition that the trainer writes to, and every process its health."""
    return width + 1


def signals_size(sources: int, width: int) -> int:
    """Partitions that the signals topic needs."""
    return max(sources, width) + 2
