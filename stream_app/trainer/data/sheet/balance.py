"""Who the rows are of: slices and categories that outweigh the others, and that training has not seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowlib.table import Objects
from stream_app.trainer.data.sheet.findings import Finding, Material

LARGEST_MAX, TIMES_MAX = 0.9, 20.0
"""A slice or level is out of balance with this share of the rows, or with so many times the median one's."""
TOLD_SHARE = 0.01


def imbalance(m: Material) -> Iterator[Finding]:
    """Of slices and of the levels of each categorical column: the largest share, and what held-out rows have that
    training rows have not. That is severe where much more is new than was new within the training span.
    """
    yield from _of(m, "slices", (), m.train.slices, m.held.slices)
    for name, train, held in zip(m.config.event.categorical, m.train.categories.T, m.held.categories.T, strict=True):
        yield from _of(m, f"levels of {name}", (name,), train, held)


def _of(m: Material, what: str, columns: tuple[str, ...], train: Objects, held: Objects) -> Iterator[Finding]:
    if not len(train) or not len(held):
        return
    train, held = train.astype(str), held.astype(str)
    names, count = np.unique(train, return_counts=True)
    largest, times = float(count.max() / len(train)), float(count.max() / np.median(count))
    if len(names) > 1 and (largest >= LARGEST_MAX or times >= TIMES_MAX):
        says = (
            f"the largest of {len(names):,} {what} has {largest:.0%} of the training rows, {times:.0f} times the median"
        )
        figure = {"count": len(names), "largest_share": largest, "largest_to_median": times}
        yield Finding("imbalance", "warning", columns, figure, says)
    new, usual = _new(train, held), _usually_new(train)
    if new >= TOLD_SHARE:
        severe = new > m.config.trainer.max_missing_share and new > 2 * usual
        says = f"{new:.0%} of the held-out rows are of {what} that training rows have not ({usual:.0%} was new before)"
        figure = {"share": new, "usual_share": usual}
        yield Finding("unseen", "severe" if severe else "warning", columns, figure, says)


def _new(before: Objects, after: Objects) -> float:
    return float(np.mean(~np.isin(after, np.unique(before)))) if len(after) else 0.0


def _usually_new(train: Objects) -> float:
    """The share of rows on the newest quarter of the training span that are new to the rest of it."""
    cut = int(len(train) * 0.75)
    return _new(train[:cut], train[cut:])
