"""KSWIN: a Kolmogorov-Smirnov test of the newest values against older ones (Raab et al. 2020; river's)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SEED = 0
"""It compares with a random sample of the older values: always the same one."""


def kswin(options: Mapping[str, float]) -> Any:
    """A detector; options ``alpha`` (of each test, default 0.0001), ``window`` (panes, default 100)."""
    from river.drift import KSWIN  # with scipy.stats: 100 MB and most of a second

    window = int(options.get("window", 100))
    return KSWIN(alpha=options.get("alpha", 0.0001), window_size=window, stat_size=max(window * 3 // 10, 1), seed=_SEED)
