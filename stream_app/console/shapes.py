"""From stored windows and models to what a person asks: how much is strange, out of how many events, by which model."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from flowlib.table import DAY_MS
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
