"""What SCORE says to people: event anomalies, activations and incidents as signals, rejects as dead letters."""

from __future__ import annotations

import numpy as np

from schemas.codecs import Envelope, encode_events
from schemas.incidents import Incident
from schemas.intake import Refusal
from schemas.records import Activation, Blame, EventAnomaly, record_id, record_ids
from stream_app.config import Config
from stream_app.stages.batches import RawBatch, ScoredBatch
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import score_signals
from stream_app.stages.score.hiding import Hiding
from stream_app.stages.score.rejects import Reject

Signal = Activation | EventAnomaly | Incident
"""What SCORE says on the signals topic."""

COLUMNS_BLAMED_MAX = 3
"""Columns that an anomaly names."""

_VALUE_MAX = 200


def activation(config: Config, raw: RawBatch, pane_start_ms: int, model_id: str) -> Activation:
    """The record of an activation on a batch's source partition."""
    return Activation(
        stream=config.stream, topic=raw.topic, partition=raw.partition, pane_start_ms=pane_start_ms, model_id=model_id
    )


def anomalies(config: Config, scored: ScoredBatch, index: list[int]) -> list[EventAnomaly]:
    """The anomaly records of some events (indices into ``scored``)."""
    events, hiding = scored.events, Hiding(config.event)
    names = [*config.event.numeric, *config.event.categorical]
    source, rows = (config.stream, events.topic, events.partition), np.array(index, dtype=np.int64)
    slices, models = (column.take(rows).objects().tolist() for column in (events.slices[0], scored.model))
    places = [(int(events.offsets[i]), int(events.event_time_ms[i])) for i in index]  # a topic made anew has new events
    ids = record_ids([("event-anomaly", *source, *at, model_id) for at, model_id in zip(places, models, strict=True)])
    return [
        EventAnomaly(
            id=anomaly_id,
            stream=config.stream,
            topic=events.topic,
            partition=events.partition,
            offset=int(events.offsets[i]),
            event_time_ms=int(events.event_time_ms[i]),
            slice=name,
            model_id=model_id,
            log_prob=float(scored.log_prob[i]),
            p_value=float(scored.p_value[i]),
            pooled=bool(scored.pooled[i]),
            threshold=float(scored.level[i]),
            blame=_blame(scored, names, hiding, i),
        )
        for anomaly_id, name, model_id, i in zip(ids, slices, models, index, strict=True)
    ]


def _blame(scored: ScoredBatch, names: list[str], hiding: Hiding, i: int) -> list[Blame]:
    share = np.maximum(scored.contributions[i], 0.0)
    total = float(share.sum()) or 1.0
    events = scored.events
    values = [*(f"{float(value):.15g}" for value in events.numeric[i]), *events.categorical[i]]
    order = np.argsort(-share, kind="stable")[:COLUMNS_BLAMED_MAX]
    return [
        Blame(
            feature=names[j], weight=float(share[j]) / total, detail=hiding.words(names[j], f"value {_cut(values[j])}")
        )
        for j in order
        if share[j] > 0
    ]


def _cut(value: str | None) -> str | None:
    """A value for a person: an event may hold texts longer than a message may be."""
    return value if value is None or len(value) <= _VALUE_MAX else f"{value[: _VALUE_MAX - 1]}…"


def signals(config: Config, partition: int, records: list[Signal]) -> list[Outgoing]:
    """Activations, anomalies and incidents of a source partition as signals, in order."""
    source, target = f"/driftflow/{config.stream}/score/{partition}", score_signals(partition, config.topics.partitions)
    envelopes = [_envelope(record, source) for record in records]
    keys = [one.record.id if isinstance(one.record, Incident) else one.subject for one in envelopes]
    return [
        Outgoing("signals", target, key.encode(), message.value, message.headers)
        for key, message in zip(keys, encode_events(envelopes), strict=True)
    ]


def _envelope(record: Signal, source: str) -> Envelope:
    match record:
        case Activation():
            parts = (record.stream, record.topic, record.partition, record.pane_start_ms, record.model_id)
            return Envelope(record, record_id("activation", *parts), source, record.pane_start_ms, record.model_id)
        case Incident():
            return Envelope(record, record_id("incident-event", record.id, record.number), source, record.pane_end_ms)
    return Envelope(record, record.id, source, record.event_time_ms, record.slice)


def dead_letters(config: Config, raw: RawBatch, rejects: list[Reject]) -> list[Outgoing]:
    """Rejected rows for the dead-letter topic."""
    return [
        dead_letter(
            config,
            raw.topic,
            raw.partition,
            reject.offset,
            Refusal(reject.reason, reject.field, reject.detail),
            reject.value,
        )
        for reject in rejects
    ]
