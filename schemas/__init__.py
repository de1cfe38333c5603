"""The contract on the wire: records, their codecs and the published JSON Schemas. Imports nothing of ours.

The names below are the public face: what a subscriber needs to read a signal and what a developer needs to read a
partial.

    >>> from schemas import Activation, Envelope, decode_event, encode_event
    >>> swap = Activation(stream="s", topic="events", partition=0, pane_start_ms=0, model_id="m")
    >>> message = encode_event(Envelope(swap, "id-1", "/driftflow/s/score/0", time_ms=0))
    >>> decode_event(message.value, message.headers) == swap
    True
"""

from schemas.codecs import (
    DecodeError,
    Envelope,
    Partial,
    WireMessage,
    decode_event,
    decode_evidence,
    decode_partial,
    encode_event,
    encode_events,
    encode_partials,
)
from schemas.evidence import EvidenceClosed, EvidenceColumns, GroupSums, ModelPane, OtherRow, PaneEvidence, SourceMark
from schemas.incidents import Action, Example, Finding, Incident, Mark, Member, SilencedIncident, StrangeEvents
from schemas.intake import TYPES, Refusal, header_map, take_in
from schemas.pane_layout import PaneLayout
from schemas.records import (
    Activation,
    Blame,
    DeadLetter,
    EventAnomaly,
    Health,
    IncidentSpan,
    ModelNotice,
    OffsetRange,
    PaneBlock,
    PaneClosed,
    Record,
    RetrainRequest,
    ServiceChange,
    Strangers,
    TopEvent,
    record_id,
    record_ids,
)

__all__ = [
    "TYPES",
    "Action",
    "Activation",
    "Blame",
    "DeadLetter",
    "DecodeError",
    "Envelope",
    "EventAnomaly",
    "EvidenceClosed",
    "EvidenceColumns",
    "Example",
    "Finding",
    "GroupSums",
    "Health",
    "Incident",
    "IncidentSpan",
    "Mark",
    "Member",
    "ModelNotice",
    "ModelPane",
    "OffsetRange",
    "OtherRow",
    "PaneBlock",
    "PaneClosed",
    "PaneEvidence",
    "PaneLayout",
    "Partial",
    "Record",
    "Refusal",
    "RetrainRequest",
    "ServiceChange",
    "SilencedIncident",
    "SourceMark",
    "StrangeEvents",
    "Strangers",
    "TopEvent",
    "WireMessage",
    "decode_event",
    "decode_evidence",
    "decode_partial",
    "encode_event",
    "encode_events",
    "encode_partials",
    "header_map",
    "record_id",
    "record_ids",
    "take_in",
]
