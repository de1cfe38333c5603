"""Bytes to record and back: CloudEvents 1.0 (binary mode) for what others read, MessagePack for pane blocks.

Every decoder raises :class:`DecodeError` and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cloudevents.core.base import BaseCloudEvent, EventFactory
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.base import Format
from cloudevents.core.v1.event import CloudEvent

from schemas import records
from schemas.evidence import Evidence
from schemas.framing import unframed
from schemas.intake import EVIDENCE_KINDS, PARTIAL_KINDS, TYPES, RawHeaders, Refusal, decode, header_map
from schemas.records import Record

_NAMES = {kind: name for name, kind in TYPES.items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Partial = records.PaneBlock | records.PaneClosed
"""A message of the partials topic: a block or a marker."""

_KIND_OF = {kind: name.encode() for name, kind in (PARTIAL_KINDS | EVIDENCE_KINDS).items()}


class DecodeError(ValueError):
    """Bytes that are not the record they claim to be."""


@dataclass(frozen=True, slots=True)
class WireMessage:
    """A Kafka message to be: value and headers (key and partition are the sender's business)."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class _Encoded(Format):
    """Passes on data that is encoded already, so that the bytes stay canonical."""

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        raise NotImplementedError("structured mode is not used")

    def write(self, event: BaseCloudEvent) -> bytes:
        raise NotImplementedError("structured mode is not used")

    def write_data(self, data: Any, datacontenttype: str | None) -> bytes:
        return bytes(data)

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:
        return body

    def get_content_type(self) -> str:
        return "application/json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A record of :data:`TYPES` with what a CloudEvent says beside it.

    Attributes:
        event_id: deterministic id of this event (not of the incident it belongs to).
        source: who says so, such as ``/driftflow/beijing/judge``.
        time_ms: event time, never the wall clock, so that a replay writes the same bytes.
        subject: what it is about, usually the slice.
    """

    record: Record
    event_id: str
    source: str
    time_ms: int
    subject: str = ""


def encode_event(envelope: Envelope) -> WireMessage:
    """Encode a record as a CloudEvent in binary mode."""
    attributes: dict[str, Any] = {
        "id": envelope.event_id,
        "source": envelope.source,
        "type": _NAMES[type(envelope.record)],
        "specversion": "1.0",
        "time": _EPOCH + timedelta(milliseconds=envelope.time_ms),
        "datacontenttype": "application/json",
    }
    if envelope.subject:
        attributes["subject"] = envelope.subject
    message = to_binary(CloudEvent(attributes, msgspec.json.encode(envelope.record)), _Encoded())
    return WireMessage(message.value, tuple(sorted(message.headers.items())))


def encode_events(envelopes: Sequence[Envelope]) -> list[WireMessage]:
    """:func:`encode_event` of many records."""
    return [encode_event(envelope) for envelope in envelopes]


def decode_event(value: bytes | None, headers: RawHeaders | None) -> Record | None:
    """Decode a CloudEvent of ours, for a subscriber; None when its type is not one of :data:`TYPES` (a newer version's,
    say). The header of a schema registry before it does not matter. driftflow's own consumers use
    :func:`schemas.intake.take_in`.

    Raises:
        DecodeError: the type is ours and the bytes are not.
    """
    name = header_map(headers).get("ce_type", b"").decode("utf-8", "replace")
    kind = TYPES.get(name)
    return None if kind is None else _decode(msgspec.json.Decoder(kind), value and unframed(value), name)


def encode_partials(partials: Sequence[Partial | Evidence]) -> list[WireMessage]:
    """Encode for the partials topic, or for the evidence topic (MessagePack)."""
    return [WireMessage(msgspec.msgpack.encode(partial), (("kind", _KIND_OF[type(partial)]),)) for partial in partials]


def decode_partial(value: bytes | None, headers: Mapping[str, bytes]) -> Partial:
    """Decode from the partials topic; raises DecodeError."""
    name = headers.get("kind", b"").decode("utf-8", "replace")
    kind = PARTIAL_KINDS.get(name)
    if kind is None:
        raise DecodeError(f"header kind is {headers.get('kind')!r}, not block or closed: not a message of ours")
    partial: Partial = _decode(msgspec.msgpack.Decoder(kind), value, kind.__name__)
    return partial


def decode_evidence(value: bytes | None, headers: Mapping[str, bytes]) -> Evidence:
    """Decode from the evidence topic; raises DecodeError."""
    kind = EVIDENCE_KINDS.get(headers.get("kind", b"").decode("utf-8", "replace"))
    if kind is None:
        raise DecodeError(f"header kind is {headers.get('kind')!r}, not evidence or judge: not a message of ours")
    evidence: Evidence = _decode(msgspec.msgpack.Decoder(kind), value, kind.__name__)
    return evidence


def _decode(decoder: Any, value: bytes | None, name: str) -> Any:
    if value is None:
        raise DecodeError(f"{name}: empty value")
    record = decode(decoder, value)
    if isinstance(record, Refusal):
        raise DecodeError(f"{name}: {record.detail}")
    return record
