"""The one way in: what every consumer of our own topics does first with a message, whatever it holds.

A message becomes a record or a :class:`Refusal`; nothing is raised. Events are not ours: the decoder of SCORE takes
them in, with rejects for refusals.

    >>> take_in("signals", "air", b"garbage", [("ce_type", None)])
    Refusal(reason='not_ours', field='ce_type', detail='it has no header ce_type')
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from schemas import evidence, incidents, records
from schemas.framing import unframed
from schemas.records import MODEL_BYTES_MAX, Record

RawHeaders = Sequence[tuple[str, bytes | None]]
"""Headers as a Kafka client hands them out: a value may be null, a name may stand more than once."""

Topic = Literal["partials", "evidence", "signals", "actions", "models", "dead_letters"]
"""Our topics, as ``[topics]`` names them."""

TYPES: dict[str, type[Record]] = {
    "driftflow.incident.v1": incidents.Incident,
    "driftflow.silenced-incident.v1": incidents.SilencedIncident,
    "driftflow.strange-events.v1": incidents.StrangeEvents,
    "driftflow.action.v1": incidents.Action,
    "driftflow.event-anomaly.v1": records.EventAnomaly,
    "driftflow.retrain-request.v1": records.RetrainRequest,
    "driftflow.model-notice.v1": records.ModelNotice,
    "driftflow.service-change.v1": records.ServiceChange,
    "driftflow.activation.v1": records.Activation,
    "driftflow.health.v1": records.Health,
    "driftflow.dead-letter.v1": records.DeadLetter,
}
"""CloudEvents type to record."""

PARTIAL_KINDS: dict[str, type[Record]] = {"block": records.PaneBlock, "closed": records.PaneClosed}
"""Header ``kind`` of the partials topic to record."""

EVIDENCE_KINDS: dict[str, type[Record]] = {"evidence": evidence.PaneEvidence, "judge": evidence.EvidenceClosed}
"""Header ``kind`` of the evidence topic to record."""

_JSON = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}
_MSGPACK = {name: msgspec.msgpack.Decoder(kind) for name, kind in PARTIAL_KINDS.items()}
_EVIDENCE = {name: msgspec.msgpack.Decoder(kind) for name, kind in EVIDENCE_KINDS.items()}
SIGNALS: tuple[str, ...] = tuple(
    name for name in TYPES if name not in ("driftflow.dead-letter.v1", "driftflow.action.v1")
)
"""CloudEvents types of the signals topic."""

_ADMITTED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "partials": ("kind", _MSGPACK),
    "evidence": ("kind", _EVIDENCE),
    "actions": ("ce_type", {"driftflow.action.v1": _JSON["driftflow.action.v1"]}),
    "signals": ("ce_type", {name: _JSON[name] for name in SIGNALS}),
    "models": ("ce_type", {"driftflow.model-notice.v1": _JSON["driftflow.model-notice.v1"]}),
    "dead_letters": ("ce_type", {"driftflow.dead-letter.v1": _JSON["driftflow.dead-letter.v1"]}),
}
"""Topic to the header that names the kind of a message, and the decoders of the kinds that belong there."""

_FREE: dict[type[Record], tuple[str, ...]] = {
    records.ModelNotice: ("gates", "provenance"),
    records.ServiceChange: ("figures",),
}
"""Fields that hold JSON of any shape."""
_DEPTH_MAX = 16
_SHOWN_MAX = 80


class Refusal(msgspec.Struct, frozen=True):
    """Why a message cannot be used.

    Attributes:
        reason: a short code: ``tombstone``, ``too_large``, ``not_ours``, ``undecodable``, ``wrong_type``,
            ``other_stream``.
        field: the header or field at fault, or "".
        detail: one sentence.
    """

    reason: str
    field: str
    detail: str


def header_map(headers: RawHeaders | None) -> dict[str, bytes]:
    """Headers by name; of several the last one, and a null one is none."""
    return {name: value for name, value in headers or () if value is not None}


def take_in(topic: Topic, stream: str, value: bytes | None, headers: RawHeaders | None) -> Record | Refusal:
    """A message as the record that it holds, with every field within its bounds, or why it cannot be used.

    Args:
        topic: which of our topics it came on: each has its kinds of records.
        stream: records of any other stream are refused.
        value, headers: of the message. They are not to be trusted: a signature is checked elsewhere. A signal may have
            the header of a schema registry.
    """
    if value is None:
        return Refusal("tombstone", "", "it has no value")
    if len(value) > MODEL_BYTES_MAX:
        return Refusal("too_large", "", f"{len(value):,} bytes, and no more than {MODEL_BYTES_MAX:,} are taken")
    header, decoders = _ADMITTED[topic]
    kind = header_map(headers).get(header)
    if kind is None:
        return Refusal("not_ours", header, f"it has no header {header}")
    decoder = decoders.get(kind.decode("utf-8", "replace"))
    if decoder is None:
        return Refusal("not_ours", header, f"header {header} is {kind[:_SHOWN_MAX]!r}: none of the kinds known here")
    return _decoded(decoder, stream, unframed(value) if topic == "signals" else value)


def _decoded(decoder: Any, stream: str, value: bytes) -> Record | Refusal:
    record = decode(decoder, value)
    if isinstance(record, Refusal):
        return record
    if record.stream != stream:  # type: ignore[attr-defined]
        name = record.stream[:_SHOWN_MAX]  # type: ignore[attr-defined]
        return Refusal("other_stream", "stream", f"it is of stream {name!r}, not {stream!r}")
    for name in _FREE.get(type(record), ()):
        if not _is_plain(getattr(record, name)):
            return Refusal("wrong_type", name, f"{name} holds a number out of range, or is nested beyond {_DEPTH_MAX}")
    return record


def decode(decoder: Any, value: bytes) -> Record | Refusal:
    """The record that a msgspec decoder makes of some bytes, or why it makes none."""
    try:
        record: Record = decoder.decode(value)
    except msgspec.ValidationError as error:
        where = re.search(r"at `\$\.?([^`]*)`", str(error))
        return Refusal("wrong_type", where[1] if where else "", str(error)[:500])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal("undecodable", "", str(error)[:500])
    return record


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON of any shape can be written down again: bounded depth, integers of 64 bits."""
    if depth > _DEPTH_MAX:
        return False
    if isinstance(value, dict):
        return all(_is_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63
