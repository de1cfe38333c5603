"""From stored windows and models to what a person asks: how much is strange, out of how many events, by which model."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from flowlib.table import DAY_MS, Ints
from stream_app.config import Duration
from stream_app.console import threads
from stream_app.console.rows import Row


def span_ms(span: str) -> int:
    """Length of ``28d`` or ``6h``; 0 for what is no span, such as ``pane``."""
    try:
        return Duration.parse(span)
    except ValueError:
        return 0


def worst_first(row: Row) -> tuple[int, str, str]:
    """Sort key of the slices."""
    return -threads.rank(row["tone"]), row["slicing"], row["slice"]


def newest_days(rows: Iterable[Row], days: int) -> list[Row]:
    """Of daily histograms, newest first, those of the newest model within so many days up to the newest."""
    kept: list[Row] = []
    for row in rows:
        if kept and (row["model_id"] != kept[0]["model_id"] or kept[0]["time_ms"] - row["time_ms"] >= days * DAY_MS):
            continue
        kept.append(row)
    return kept


def swaps(panes: Iterable[Row]) -> list[Row]:
    """When another model took over in a slice: partitions swap one after the other, so slices do too."""
    steps = pairwise((pane["time_ms"], pane["model_id"]) for pane in panes)
    return [{"model_id": new, "time_ms": end_ms} for (end_ms, old), (_, new) in steps if new != old]


def swap_count(activations: Iterable[Row]) -> int:
    """How often the model changed on the partition where it did most; activations are oldest first."""
    models: dict[str, list[str]] = {}
    for row in activations:
        of_partition = models.setdefault(row["partition"], [])
        if of_partition[-1:] != [row["model_id"]]:
            of_partition.append(row["model_id"])
    return max((len(of_partition) - 1 for of_partition in models.values()), default=0)


def share(row: Row, name: str) -> float | None:
    """Part of a window's scored events that a field counts.

    None where nothing was scored: nothing is known then, which is not the same as nothing being strange.
    """
    scored = row.get("scored", 0)
    return row[name] / scored if scored > 0 else None


_GAP = 0.05
"""A bin with a smaller part than this of what a flat histogram has there is a gap."""

_GAP_MIN = 20.0
"""So many events a bin has in a flat one, that chance leaves none empty."""


def without_gaps(bins: Ints) -> Ints:
    """A histogram as it would be if the few values that a column takes were spread out: each takes a lump of the range,
    and the places between them stay empty, however right the model is. Where lumps are at their places the result is
    flat; a histogram without gaps stays as it is, and so does one with a gap over half of it: it lies at the ends.

    >>> lumps = np.array([0, 50, 50, 0, 0, 0, 0, 115, 115, 20, 0, 0, 0, 0, 75, 75, 0, 0, 0, 0]) * 10
    >>> without_gaps(lumps).tolist()
    [250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250]
    """
    n, flat = int(bins.sum()), bins.sum() / len(bins)
    full = np.flatnonzero(bins > _GAP * flat)
    gaps = [(int(a) + 1, int(b)) for a, b in pairwise(full) if b > a + 1]
    if flat < _GAP_MIN or not gaps or max(b - a for a, b in gaps) > len(bins) / 2:
        return bins
    before = np.concatenate([[0], np.cumsum(bins)])
    counts = [0, *(int(before[a]) for a, _ in gaps), n]
    places = [0.0, *(min(max(c / flat, a), b) for c, (a, b) in zip(counts[1:-1], gaps, strict=True)), float(len(bins))]
    return np.asarray(np.diff(np.rint(np.interp(np.arange(len(bins) + 1), places, counts))), dtype=np.int64)
