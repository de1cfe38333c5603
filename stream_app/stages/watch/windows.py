"""Rolling windows per slice: rings of coarser panes with running totals. All integers, so nothing drifts.

A span of S ms is a ring of at most 28 buckets of B ms each (S = k·B); the window that ends with a pane covers the
bucket that the pane lies in and the k − 1 before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import DAY_MS, Bools, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import WindowsConfig
from stream_app.stages.watch.merging import SlicingPane

BUCKETS_MAX = 28
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
    """One span over all slices of a slicing.

    Attributes:
        rows: ``(k, M, w)`` int64, bucket totals for up to M slices.
        bucket: ``(k,)`` int64, which bucket number each place of the ring holds.
        total: ``(M, w)`` int64, sum over the places.
    """

    span_ms: int
    bucket_ms: int
    rows: Ints
    bucket: Ints
    total: Ints

    @classmethod
    def empty(cls, span_ms: int, pane_ms: int, width: int) -> Ring:
        """A ring for no slices yet."""
        length = bucket_ms(span_ms, pane_ms)
        k = span_ms // length
        return cls(
            span_ms,
            length,
            np.zeros((k, 0, width), np.int64),
            np.full(k, _EMPTY, np.int64),
            np.zeros((0, width), np.int64),
        )

    def grow(self, m: int) -> None:
        """Make room for m slices."""
        have = self.rows.shape[1]
        if m > have:
            more = max(m, 2 * have, 16) - have
            self.rows = np.pad(self.rows, ((0, 0), (0, more), (0, 0)))
            self.total = np.pad(self.total, ((0, more), (0, 0)))

    def advance(self, pane_start_ms: int) -> int:
        """Turn the ring to the bucket of a pane, dropping what has left the span. Returns the place."""
        now, k = pane_start_ms // self.bucket_ms, len(self.bucket)
        stale = (self.bucket != _EMPTY) & (self.bucket <= now - k)
        for place in np.flatnonzero(stale):
            self.total -= self.rows[place]
            self.rows[place] = 0
            self.bucket[place] = _EMPTY
        current = int(now % k)
        self.bucket[current] = now
        return current

    def add(self, place: int, slices: Ints, rows: Ints) -> None:
        """Add pane rows ``(m, w)`` of distinct slices to a bucket."""
        self.rows[place, slices] += rows
        self.total[slices] += rows

    def forget_model(self, slices: Ints, layout: PaneLayout) -> None:
        """Zero the model-dependent columns: likelihoods of two models are never summed."""
        self.rows[:, slices, layout.model_free :] = 0
        self.total[slices, layout.model_free :] = 0


@dataclass(slots=True)
class SlicingWindows:
    """All rings of one slicing, with the names and models of its slices."""

    rings: list[Ring]
    index: dict[str, int] = field(default_factory=dict)
    model: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, windows: WindowsConfig, width: int) -> SlicingWindows:
        """Windows of no slices yet; rows have ``width`` columns."""
        return cls([Ring.empty(int(span), int(windows.pane), width) for span in windows.spans])

    def ensure(self, name: str, model_id: str) -> int:
        """Index of a slice, made when it is new."""
        index = self.index.get(name)
        if index is None:
            index = self.index[name] = len(self.index)
            self.model.append(model_id)
            for ring in self.rings:
                ring.grow(index + 1)
        return index

    def enter(self, pane: SlicingPane, layout: PaneLayout) -> tuple[Ints, Bools]:
        """Add a final pane of m slices to every ring.

        Returns:
            ``(m,)`` index of each slice, and ``(m,)`` True where its model is another than in its last pane: what
            depends on the model was forgotten there.
        """
        index = np.array([self.ensure(n, m) for n, m in zip(pane.names, pane.models, strict=True)], dtype=np.int64)
        fresh = np.array([self.model[i] != model for i, model in zip(index, pane.models, strict=True)])
        for i, model in zip(index, pane.models, strict=True):
            self.model[i] = model
        for ring in self.rings:
            ring.forget_model(index[fresh], layout)
            ring.add(ring.advance(pane.start_ms), index, pane.rows)
        return index, fresh

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        m = len(self.index)
        rings = [[r.span_ms, r.bucket_ms, r.rows[:, :m], r.bucket, r.total[:m]] for r in self.rings]
        return {"rings": rings, "slices": list(self.index), "model": self.model}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SlicingWindows:
        """Inverse of :meth:`to_state`."""
        rings = [Ring(*values) for values in state["rings"]]
        return cls(rings, {name: i for i, name in enumerate(state["slices"])}, list(state["model"]))
