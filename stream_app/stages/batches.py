"""The types that travel through the pipeline: frozen, columnar, shapes in the docstrings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Bools, Floats, Ints, Objects, Singles


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive records of one source partition, as fetched.

    Attributes:
        topic, partition: the source.
        offsets: ``(n,)`` int64, ascending.
        values: n message bodies; None is a tombstone.
        record_time_ms: ``(n,)`` int64 broker timestamps, or None where there is no broker.
    """

    topic: str
    partition: int
    offsets: Ints
    values: list[bytes | None]
    record_time_ms: Ints | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used: where it is and what was wrong with it."""

    row: int
    offset: int
    reason: str
    field: str
    detail: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Decoded events of one source partition.

    Attributes:
        rows: ``(n,)`` int64, position of each event in its RawBatch.
        offsets: ``(n,)`` int64.
        event_time_ms: ``(n,)`` int64.
        numeric: ``(n, d)`` float32, NaN for missing.
        categorical: ``(n, k)`` object array of str or None.
        slices: ``(n, s)`` object array of slice names, one column for each slicing.
        ids: n event ids, or None where no id field is configured.
    """

    topic: str
    partition: int
    rows: Ints
    offsets: Ints
    event_time_ms: Ints
    numeric: Singles
    categorical: Objects
    slices: Objects
    ids: list[str] | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, rows: Bools | Ints) -> EventBatch:
        """The chosen rows (indices or mask), in order."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        ids = None if self.ids is None else [self.ids[i] for i in index]
        return EventBatch(
            self.topic,
            self.partition,
            self.rows[index],
            self.offsets[index],
            self.event_time_ms[index],
            self.numeric[index],
            self.categorical[index],
            self.slices[index],
            ids,
        )


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Events with their scores.

    Attributes:
        log_prob: ``(n,)`` float64 nats in raw space.
        p_value: ``(n,)`` float64 in (0, 1]; small is strange.
        pooled: ``(n,)`` bool, the p-value is against all slices together.
        pit: ``(n, d)`` float32 in (0, 1), Φ of each latent coordinate.
        missing: ``(n, d)`` bool.
        contributions: ``(n, d + k)`` of flagged rows, nats that an ordinary value in each column would gain; else 0.
        scorable: ``(n,)`` bool; the other columns mean nothing where it is False.
        model: ``(n,)`` object, the model id of each row.
    """

    events: EventBatch
    log_prob: Floats
    p_value: Floats
    pooled: Bools
    pit: Singles
    missing: Bools
    contributions: Floats
    scorable: Bools
    model: Objects


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """Merged statistics of one slice over one span, ending with a closed pane.

    Attributes:
        span: ``pane`` or the span's name (``7d``).
        start_ms, end_ms: the time covered, half-open.
        row: ``(w,)`` int64, columns as laid out by :class:`stream_app.stages.score.panes.Layout`.
    """

    slicing: str
    slice: str
    span: str
    start_ms: int
    end_ms: int
    model_id: str
    row: Ints


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says of one slice at one pane. Larger statistics are worse."""

    rule: str
    detector: str
    slicing: str
    slice: str
    pane_start_ms: int
    pane_end_ms: int
    model_id: str
    statistic: float
    evidence: str
    blame: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: the role of its topic, its partition there, key, value and headers."""

    role: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Outputs:
    """What one step of the pipeline wants done: messages in order, and points for the sink."""

    messages: list[Outgoing] = field(default_factory=list)
    points: list[Any] = field(default_factory=list)
