"""Offsets of a time zone at many times: looked up once for each quarter of an hour, at whose bounds clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from flowlib.table import Ints

_NAME_MAX = 64
_QUARTER_MS = 900_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(minutes=15)) for year in (2, 9_998))
"""Quarters since the epoch that have an offset of their own; beyond them it stays."""


def check_zone(name: str) -> None:
    """Raise ValueError unless there is a time zone of this name."""
    try:
        if not isinstance(name, str) or len(name) > _NAME_MAX:
            raise ValueError("no name of a zone")
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        shown = repr(name)[: _NAME_MAX + 2]
        raise ValueError(f"expected a time zone such as 'Europe/Berlin', got {shown}") from None


def local(zone: str, time_ms: Ints) -> Ints:
    """``(n,)`` milliseconds on the zone's own clock, counted as if it were UTC's.

    >>> noon = np.array([1_616_842_800_000, 1_616_925_600_000])  # 11:00 and 10:00 UTC: the clocks went forward
    >>> (local("Europe/Berlin", noon) // 3_600_000 % 24).tolist()
    [12, 12]
    """
    if zone == "UTC" or not len(time_ms):
        return time_ms
    quarters = np.clip(time_ms // _QUARTER_MS, _FIRST, _LAST)
    if quarters.min() == quarters.max():
        return time_ms + _offset(zone, int(quarters[0]))
    found, which = np.unique(quarters, return_inverse=True)
    return time_ms + np.array([_offset(zone, quarter) for quarter in found.tolist()], dtype=np.int64)[which]


@lru_cache(maxsize=1 << 16)
def _offset(zone: str, quarter: int) -> int:
    there = (_EPOCH + timedelta(minutes=15 * quarter)).astimezone(ZoneInfo(zone))
    return int((there.utcoffset() or timedelta()) / timedelta(milliseconds=1))
