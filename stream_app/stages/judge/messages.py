"""What JUDGE says: incidents, strange events and retrain requests as signals."""

from __future__ import annotations

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Incident, StrangeEvents
from schemas.records import RetrainRequest, ServiceChange, record_id
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import judge_signals

_SUBJECT_MAX = 20
"""Slices that the key and the header of a request name: it stays within what a broker takes."""


def incident(config: Config, record: Incident) -> Outgoing:
    """A message of an incident."""
    event_id = record_id("incident-event", record.id, record.number)
    subject = record.members[0].slice if record.members else ""
    return _signal(config, Envelope(record, event_id, _source(config), record.pane_end_ms, subject), record.id)


def strange_events(config: Config, record: StrangeEvents) -> Outgoing:
    """Single events that are strange."""
    return _signal(config, Envelope(record, record.id, _source(config), record.pane_end_ms), record.id)


def request(config: Config, record: RetrainRequest) -> Outgoing:
    """A retrain request."""
    subject = ",".join(record.slices[:_SUBJECT_MAX])
    envelope = Envelope(record, record.id, _source(config), record.requested_pane_ms, subject)
    return _signal(config, envelope, subject)


def service_change(config: Config, record: ServiceChange) -> Outgoing:
    """Another model is in service."""
    envelope = Envelope(record, record.id, _source(config), record.pane_end_ms, record.model_id)
    return _signal(config, envelope, record.id)


def _source(config: Config) -> str:
    return f"/driftflow/{config.stream}/judge"


def _signal(config: Config, envelope: Envelope, key: str) -> Outgoing:
    message = encode_event(envelope)
    target = judge_signals(config.topics.partitions)
    return Outgoing("signals", target, key.encode(), message.value, message.headers)
