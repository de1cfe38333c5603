"""Every record that travels on a topic of ours, as frozen structs.

Times are event times in integer milliseconds since the epoch (UTC); panes are half-open ``[start, end)``. Ids are
deterministic (:func:`record_id`), so a replay writes the same bytes. Fields have bounds (:mod:`schemas.bounds`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schemas.bounds import Count, Finite, Id, Millis, Name, Number, Share, Text

NAMESPACE = uuid.UUID("6f1d5f0e-5a0f-5c7e-9a53-6d7269667466")
"""Name space of every id we make."""


MODEL_BYTES_MAX = 16 * 1024 * 1024
"""Largest record on the models topic, which carries the weights."""

TOP_MAX = 64
"""Strange events of a block, or of a pane of WATCH, the strangest first."""

MANY = 1_000_000
"""Longest list of a record: slices, members, source partitions."""


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

    topic: Name
    partition: Number
    start: Count
    end: Count
    start_ms: Millis
    """Event time from which rows of this range are wanted; rows outside ``[start_ms, end_ms)`` are skipped."""
    end_ms: Millis


class Blame(Record, frozen=True):
    """One feature and how much it contributes (a share in 0..1 of what was found)."""

    feature: Name
    weight: Share
    detail: Text = ""


class EventAnomaly(Record, frozen=True):
    """One event that the model finds strange. ``p_value`` <= ``threshold``."""

    id: Id
    stream: Name
    topic: Name
    partition: Number
    offset: Count
    event_time_ms: Millis
    slice: Name
    model_id: Id
    log_prob: Finite
    """Nats, in raw space."""
    p_value: Share
    pooled: bool
    """True when the p-value is taken from all slices together, for want of reference rows in this slice."""
    threshold: Share
    blame: Annotated[list[Blame], Meta(max_length=MANY)]


class IncidentSpan(Record, frozen=True):
    """The rows that an incident is about: of some slices, from when to when."""

    incident_id: Id
    kind: Annotated[str, Meta(pattern="^(burst|fault|drift)$")]
    """``burst``: far more events than nominal are strange; ``fault``: the data are wrong, not the world; ``drift``."""
    slicing: Name
    slices: Annotated[list[Name], Meta(max_length=MANY)]
    """Slices of the slicing; none named is all of them."""
    from_ms: Millis
    to_ms: Millis
    """Half-open, event time."""


class RetrainRequest(Record, frozen=True):
    """Asks the trainer for a better model for a stream, with the exact offsets to read."""

    id: Id
    stream: Name
    reason: Annotated[str, Meta(pattern="^(bootstrap|drift)$")]
    """``bootstrap`` or ``drift``."""
    slices: Annotated[list[Name], Meta(max_length=MANY)]
    alerts: Annotated[list[Id], Meta(max_length=MANY)]
    model_id: Id
    """The model in service, or "" when there is none."""
    requested_pane_ms: Millis
    train: Annotated[list[OffsetRange], Meta(max_length=MANY)]
    """The rows to train on, one range for each source partition."""
    calibrate_from_ms: Millis
    """Event time from which rows may be held out for calibration and for the gates."""
    accepted: Annotated[list[IncidentSpan], Meta(max_length=MANY)] = msgspec.field(default_factory=list)
    """Of incidents of which a person has said that this is the new normal: these rows train, however strange."""
    unjudged: Annotated[list[IncidentSpan], Meta(max_length=MANY)] = msgspec.field(default_factory=list)
    """Of bursts and faults that nobody has judged: these rows train nothing, calibrate nothing and judge nothing."""


class ModelNotice(Record, frozen=True):
    """A model and its gates, on the compacted models topic, keyed by ``model_id``; a refused one carries no bytes."""

    model_id: Id
    stream: Name
    status: Annotated[str, Meta(pattern="^(promoted|refused|covered|candidate|waiting)$")]
    """``promoted``; ``refused``; ``covered``, where an earlier model answers the request; ``candidate``, which has
    passed its gates and is not in service: it is compared on live events; ``waiting``: a person has to say.
    """
    parent_id: Id
    request_id: Id
    created_ms: Millis
    """End of the pane that the request was made in, event time: no wall clock here."""
    train_rows: Count
    gates: dict[str, Any]
    """Gate name to its figures: ``{"passed": bool, "candidate": x, "in_service": y, …}``."""
    reason: Text
    sequence: Count = 0
    """Number of this notice among those of its stream, from 1 on: one with a smaller number than another is no news."""
    manifest: bytes = b""
    tensors: bytes = b""
    signature: bytes = b""
    key_id: Id = ""
    provenance: dict[str, Any] = msgspec.field(default_factory=dict)
    """Where the model comes from: topic, offsets, dates, rows left out, settings, code, gates, shadow, who approved."""


class ServiceChange(Record, frozen=True):
    """Which model is in service changes, and not by a new one, or on how many partitions one is: signed by a worker, on
    the signals topic.
    """

    id: Id
    stream: Name
    verb: Annotated[str, Meta(pattern="^(rollback|pin|unpin|extend)$")]
    """``extend``: a model that has begun on a share of the source partitions scores the others too."""
    model_id: Id
    """The model that is rolled back, pinned or extended; "" of ``unpin``."""
    returns_to: Id
    """The model that is in service from then on, as far as it is known here."""
    by: Name
    """Who: a person, or ``driftflow`` where the realised figures of the model have asked for it."""
    pane_end_ms: Millis
    why: Text
    figures: dict[str, Any] = msgspec.field(default_factory=dict)
    """What has asked for it, in figures."""


class Activation(Record, frozen=True):
    """Decision: from ``pane_start_ms`` on, a source partition is scored by ``model_id``."""

    stream: Name
    topic: Name
    partition: Number
    pane_start_ms: Millis
    model_id: Id


class Health(Record, frozen=True):
    """How a part of a process stands: what only the process knows, and no replay repeats. Sent when it changes."""

    stream: Name
    source: Name
    """Which process says so, such as ``worker host-a-17``."""
    part: Name
    """What it is about, such as ``drainer`` or ``transaction events/3``; the newest message of a part counts."""
    state: Annotated[str, Meta(pattern="^(failing|ok)$")]
    says: Text
    """One sentence that a person can act on; empty where all is well again."""
    since_ms: Millis
    """Since when, by the clock of the process."""


class DeadLetter(Record, frozen=True):
    """A message that could not be used, of any topic, with all one needs to find and replay it."""

    id: Id
    stream: Name
    topic: Name
    partition: Number
    offset: Count
    reason: Id
    """A short code. Of events: ``not_json``, ``not_msgpack``, ``not_avro``, ``wrong_length`` (of rows of ``float32``),
    ``schema_registry`` (a registry's header, and no JSON behind it, or none before Avro), ``unknown_schema``,
    ``wrong_type``, ``missing_time``, ``bad_time``, ``far_future``, ``unscorable``, ``tombstone``, ``too_large``. Of the
    other topics: those of :mod:`schemas.intake`, and ``unsigned``, ``untrusted_key``, ``bad_signature``, ``stale``,
    ``not_accepted``.
    """
    field: Name
    detail: Text
    sha256: Id
    size: Count
    body: bytes
    """The first bytes of the value (a bounded part of it)."""


class TopEvent(Record, frozen=True):
    """A flagged event, among the strangest of its block."""

    partition: Number
    """Source partition."""
    offset: Count
    event_time_ms: Millis
    slice: Name
    """In the first slicing."""
    model_id: Id
    log_prob: Finite
    p_value: Share
    blame: Annotated[list[Blame], Meta(max_length=MANY)]
    """The largest, three at most."""


class Strangers(Record, frozen=True):
    """Slice names that wait for a place of their own, of a source partition and slicing, since the last marker."""

    slicing: Name
    names: Count
    """Different ones, about."""
    events: Count
    """Events of theirs, which are counted as ``__other__``."""
    field: Name
    """The slicing's field with most values that are new."""
    values: Count
    """Different new values of that field, about."""
    examples: Annotated[list[Name], Meta(max_length=MANY)]


class PaneBlock(Record, frozen=True):
    """Mergeable statistics of one pane on one source partition, for up to about a thousand slices.

    Integer columns are little-endian int64 arrays in C order, keyed by name; ``m`` slices.
    :class:`~schemas.pane_layout.PaneLayout` says which columns and shapes, and how they merge.
    """

    stream: Name
    partition: Number
    """The source partition."""
    pane_start_ms: Millis
    pane_end_ms: Millis
    model_id: Id
    slicing: Name
    index: Number
    """Number of this block among the blocks of (source partition, pane): a block sent twice is one block."""
    slices: Annotated[list[Name], Meta(max_length=MANY)]
    columns: dict[str, bytes]
    top: Annotated[list[TopEvent], Meta(max_length=MANY)] = msgspec.field(default_factory=list)
    """Of the first slicing: flagged events of these slices, the strangest :data:`TOP_MAX` by p-value, then offset."""


class PaneClosed(Record, frozen=True):
    """The marker after the blocks of a pane, on every partials partition: no block of this source partition for panes
    that end at or before ``pane_end_ms`` follows.
    """

    stream: Name
    partition: Number
    """The source partition."""
    pane_start_ms: Millis
    pane_end_ms: Millis
    offset_end: Count
    """Offset of the row that closed the pane: the rows of the pane lie below it."""
    strangers: Annotated[list[Strangers], Meta(max_length=MANY)] = msgspec.field(default_factory=list)
