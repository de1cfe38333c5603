"""Page-Hinkley: a cumulative sum of deviations from the running mean (Page 1954, river's implementation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page_hinkley(options: Mapping[str, float]) -> Any:
    """A detector; options ``delta`` (change that does not matter, default 0.1), ``threshold`` (default 20)."""
    from river.drift import PageHinkley  # with scipy.stats: 100 MB and most of a second

    return PageHinkley(
        min_instances=8, delta=options.get("delta", 0.1), threshold=options.get("threshold", 20.0), alpha=1.0
    )
