"""Rolling windows per slice: rings of coarser panes. All integers, so nothing drifts.

A ring has buckets of one length; a span of k buckets that ends with a pane covers the bucket that the pane lies in and
the k − 1 before it. Spans share a ring where its buckets are fine enough for them: with the usual spans of a day, a
week and four weeks there are 24 buckets of an hour and 28 of a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import DAY_MS, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import WindowsConfig
from stream_app.stages.summary import COLUMNS, MODEL_FREE, WIDTH, summary
from stream_app.stages.watch.merging import SlicingPane

BUCKETS_MIN, BUCKETS_MAX = 7, 28
_EMPTY = -1


def bucket_ms(span_ms: int, pane_ms: int) -> int:
    """Length of a ring's buckets: the span cut into the most equal whole-pane parts, at most 28.

    >>> bucket_ms(28 * 24, 6) // 24
    1
    """
    panes = span_ms // pane_ms
    parts = max(k for k in range(1, BUCKETS_MAX + 1) if panes % k == 0)
    return span_ms // parts


def span_name(span_ms: int) -> str:
    """``604800000`` → ``7d``."""
    for unit, size in (("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if span_ms % size == 0:
            return f"{span_ms // size}{unit}"
    return f"{span_ms}ms"


@dataclass(slots=True)
class Ring:
    """Buckets of one length over all slices of a slicing.

    Attributes:
        bucket_ms: their length.
        rows: ``(k, M, 16)`` int64, bucket totals for up to M slices; columns: :mod:`stream_app.stages.summary`.
        bucket: ``(k,)`` int64, which bucket number each place of the ring holds.
    """

    bucket_ms: int
    rows: Ints
    bucket: Ints

    @classmethod
    def empty(cls, bucket_ms: int, k: int) -> Ring:
        """A ring of k buckets for no slices yet."""
        return cls(bucket_ms, np.zeros((k, 0, WIDTH), np.int64), np.full(k, _EMPTY, np.int64))

    def grow(self, m: int) -> None:
        """Make room for m slices."""
        have = self.rows.shape[1]
        if m > have:
            self.rows = np.pad(self.rows, ((0, 0), (0, max(m, 2 * have, 16) - have), (0, 0)))

    def add(self, pane_start_ms: int, slices: Ints, rows: Ints) -> None:
        """Add summaries ``(m, 16)`` of distinct slices to the bucket of a pane, which may be a new one."""
        now = pane_start_ms // self.bucket_ms
        place = now % len(self.bucket)
        if self.bucket[place] != now:
            self.rows[place] = 0
            self.bucket[place] = now
        self.rows[place, slices] += rows

    def total(self, pane_start_ms: int, span_ms: int, slices: Ints) -> Ints:
        """Sums ``(m, 16)`` over the span that ends with the bucket of a pane."""
        now = pane_start_ms // self.bucket_ms
        inside = np.flatnonzero((self.bucket > now - span_ms // self.bucket_ms) & (self.bucket <= now))
        return np.asarray(self.rows[np.ix_(inside, slices)].sum(axis=0))

    def forget_model(self, slices: Ints) -> None:
        """Zero the model-dependent columns: likelihoods of two models are never summed."""
        self.rows[:, slices, MODEL_FREE:] = 0


def rings(spans: list[int], pane_ms: int) -> dict[int, tuple[int, int]]:
    """Each span, ascending, to the length and number of buckets of the ring that it is read from.

    >>> hour, day = 3_600_000, 24 * 3_600_000
    >>> [(length // hour, k) for length, k in rings([day, 7 * day, 28 * day], hour).values()]
    [(1, 24), (24, 28), (24, 28)]
    """
    sizes: dict[int, int] = {}
    chosen: dict[int, int] = {}
    for span in sorted(spans, reverse=True):
        shared = [length for length in sizes if span % length == 0 and span // length >= BUCKETS_MIN]
        chosen[span] = min(shared, default=bucket_ms(span, pane_ms))
        sizes[chosen[span]] = max(sizes.get(chosen[span], 0), span // chosen[span])
    return {span: (chosen[span], sizes[chosen[span]]) for span in sorted(spans)}


@dataclass(slots=True)
class SlicingWindows:
    """All rings of one slicing, with the names and models of its slices.

    Attributes:
        rings: by the length of their buckets.
        of_span: each span to the length of the buckets it is read from.
        index: slice name to its number.
        model: of each slice.
    """

    rings: dict[int, Ring]
    of_span: dict[int, int]
    index: dict[str, int] = field(default_factory=dict)
    model: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, windows: WindowsConfig) -> SlicingWindows:
        """Windows of no slices yet."""
        chosen = rings([int(span) for span in windows.spans], int(windows.pane))
        sizes = dict(chosen.values())
        return cls(
            {length: Ring.empty(length, k) for length, k in sizes.items()},
            {span: length for span, (length, _) in chosen.items()},
        )

    def ensure(self, name: str, model_id: str) -> int:
        """Index of a slice, made when it is new."""
        index = self.index.get(name)
        if index is None:
            index = self.index[name] = len(self.index)
            self.model.append(model_id)
            for ring in self.rings.values():
                ring.grow(index + 1)
        return index

    def enter(self, pane: SlicingPane, layout: PaneLayout) -> Ints:
        """Add a final pane of m slices to every ring.

        Returns:
            ``(m,)`` index of each slice. Where its model is another than in its last pane, what depends on the model
            was forgotten.
        """
        index = np.array([self.ensure(n, m) for n, m in zip(pane.names, pane.models, strict=True)], dtype=np.int64)
        fresh = [i for i, model in zip(index.tolist(), pane.models, strict=True) if self.model[i] != model]
        for i, model in zip(index.tolist(), pane.models, strict=True):
            self.model[i] = model
        rows = summary(layout, pane.rows)
        for ring in self.rings.values():
            if fresh:
                ring.forget_model(np.array(fresh, dtype=np.int64))
            ring.add(pane.start_ms, index, rows)
        return index

    def spans(self, pane_start_ms: int, slices: Ints) -> Iterator[tuple[int, Ints]]:
        """Each span with its sums ``(m, 16)`` for some slices."""
        for span, length in self.of_span.items():
            yield span, self.rings[length].total(pane_start_ms, span, slices)

    def has_events(self, name: str, pane_start_ms: int) -> bool:
        """Whether a slice had events in the longest span that ends with a pane."""
        span, length = max(self.of_span.items())
        slices = np.array([self.index[name]], dtype=np.int64)
        return bool(self.rings[length].total(pane_start_ms, span, slices)[:, COLUMNS["seen"]].any())

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        m = len(self.index)
        rings = [[ring.bucket_ms, ring.rows[:, :m], ring.bucket] for ring in self.rings.values()]
        return {"rings": rings, "of_span": list(self.of_span.items()), "slices": list(self.index), "model": self.model}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SlicingWindows:
        """Inverse of :meth:`to_state`."""
        rings = {length: Ring(length, np.array(rows), np.array(bucket)) for length, rows, bucket in state["rings"]}
        index = {name: i for i, name in enumerate(state["slices"])}
        return cls(rings, dict(state["of_span"]), index, list(state["model"]))
