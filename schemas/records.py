"""Every record that travels on a topic of ours, as frozen structs.

Times are event times in integer milliseconds since the epoch (UTC); panes are half-open ``[start, end)``. Ids are
deterministic (:func:`record_id`), so a replay writes the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

NAMESPACE = uuid.UUID("6f1d5f0e-5a0f-5c7e-9a53-6d7269667466")
"""Name space of every id we make."""


MODEL_BYTES_MAX = 16 * 1024 * 1024
"""Largest record on the models topic, which carries the weights."""


def record_id(*parts: Any) -> str:
    """UUID5 over the canonical JSON of what a thing *is* (rule, slice, pane, model), never of when it was noticed."""
    canonical = msgspec.json.encode(parts, order="deterministic")
    return str(uuid.uuid5(NAMESPACE, canonical.decode()))


def record_ids(things: Sequence[tuple[Any, ...]]) -> list[str]:
    """:func:`record_id` of many things."""
    return [record_id(*parts) for parts in things]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of the wire records."""


class OffsetRange(Record, frozen=True):
    """Offsets ``[start, end)`` of one partition of a topic."""

    topic: str
    partition: int
    start: int
    end: int
    start_ms: int
    """Event time from which rows of this range are wanted; rows outside ``[start_ms, end_ms)`` are skipped."""
    end_ms: int


class Blame(Record, frozen=True):
    """One feature and how much it contributes (a share in 0..1 of what was found)."""

    feature: str
    weight: float
    detail: str = ""


class EventAnomaly(Record, frozen=True):
    """One event that the model finds strange. ``p_value`` <= ``threshold``."""

    id: str
    stream: str
    topic: str
    partition: int
    offset: int
    event_time_ms: int
    slice: str
    model_id: str
    log_prob: float
    """Nats, in raw space."""
    p_value: float
    pooled: bool
    """True when the p-value is taken from all slices together, for want of reference rows in this slice."""
    threshold: float
    blame: list[Blame]


class Alert(Record, frozen=True):
    """An incident of one rule on one slice: opened, updated or resolved under one ``id``."""

    id: str
    stream: str
    rule: str
    slicing: str
    slice: str
    state: str
    """``open``, ``update`` or ``resolve``."""
    opened_pane_ms: int
    pane_start_ms: int
    pane_end_ms: int
    statistic: float
    threshold: float
    evidence: str
    """What the statistic is, in words: the detector's."""
    model_id: str
    blame: list[Blame]
    summary: str
    """One sentence that a person can act on."""


class RetrainRequest(Record, frozen=True):
    """Asks the trainer for a better model for a stream, with the exact offsets to read."""

    id: str
    stream: str
    reason: str
    """``bootstrap`` or ``drift``."""
    slices: list[str]
    alerts: list[str]
    model_id: str
    """The model in service, or "" when there is none."""
    requested_pane_ms: int
    train: list[OffsetRange]
    """The rows to train on, one range for each source partition."""
    calibrate_from_ms: int
    """Event time from which rows may be held out for calibration and for the gates."""


class ModelNotice(Record, frozen=True):
    """A model and its gates, on the compacted models topic, keyed by ``model_id``; a refused one carries no bytes."""

    model_id: str
    stream: str
    status: str
    """``promoted`` or ``refused``."""
    parent_id: str
    request_id: str
    created_ms: int
    """End of the pane that the request was made in, event time: no wall clock here."""
    train_rows: int
    gates: dict[str, Any]
    """Gate name to its figures: ``{"passed": bool, "candidate": x, "in_service": y, …}``."""
    reason: str
    manifest: bytes = b""
    tensors: bytes = b""
    signature: bytes = b""
    key_id: str = ""


class Activation(Record, frozen=True):
    """Decision: from ``pane_start_ms`` on, a source partition is scored by ``model_id``."""

    stream: str
    topic: str
    partition: int
    pane_start_ms: int
    model_id: str


class DeadLetter(Record, frozen=True):
    """An event that could not be decoded or scored, with all one needs to find and replay it."""

    id: str
    stream: str
    topic: str
    partition: int
    offset: int
    reason: str
    """A short code: ``not_json``, ``wrong_type``, ``missing_time``, ``bad_time``, ``far_future``, ``unscorable``,
    ``tombstone``, ``too_large``.
    """
    field: str
    detail: str
    sha256: str
    size: int
    body: bytes
    """The first bytes of the value (a bounded part of it)."""


class PaneBlock(Record, frozen=True):
    """Mergeable statistics of one pane on one source partition, for up to about a thousand slices.

    Integer columns are little-endian int64 arrays in C order, keyed by name; ``m`` slices.
    :class:`~schemas.pane_layout.PaneLayout` says which columns and shapes. Merging is ``+``.
    """

    stream: str
    partition: int
    """The source partition."""
    pane_start_ms: int
    pane_end_ms: int
    model_id: str
    slicing: str
    index: int
    """Number of this block among the blocks of (source partition, pane): a block sent twice is one block."""
    slices: list[str]
    columns: dict[str, bytes]
    top: list[list[tuple[float, int]]]
    """Per slice the few most anomalous ``(p_value, offset)``."""


class PaneClosed(Record, frozen=True):
    """The marker after the blocks of a pane, on every partials partition: no block of this source partition for panes
    that end at or before ``pane_end_ms`` follows.
    """

    stream: str
    partition: int
    """The source partition."""
    pane_start_ms: int
    pane_end_ms: int
    offset_end: int
    """Offset of the row that closed the pane: the rows of the pane lie below it."""
