"""ADWIN: a window that shrinks where two halves of it differ (Bifet & Gavaldà 2007, river's implementation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def adwin(options: Mapping[str, float]) -> Any:
    """A detector; option ``delta`` (confidence, default 0.002)."""
    from river.drift import ADWIN  # with scipy.stats: 100 MB and most of a second

    return ADWIN(delta=options.get("delta", 0.002), clock=1, grace_period=8, min_window_length=4)
