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
    if not index:
        return []
    events, rows = scored.events, np.array(index, dtype=np.int64)
    source = (config.stream, events.topic, events.partition)
    slices, models = (
        [column.names[code] for code in column.codes[rows]] for column in (events.slices[0], scored.model)
    )
    columns = (events.offsets, events.event_time_ms, scored.log_prob, scored.p_value, scored.pooled, scored.level)
    offsets, times, log_probs, p_values, pooled, levels = (column[rows].tolist() for column in columns)
    # The times, too: a topic made anew has new events.
    named = zip(offsets, times, models, strict=True)
    ids = record_ids([("event-anomaly", *source, *event) for event in named])
    return [
        EventAnomaly(
            id=ids[i],
            stream=config.stream,
            topic=events.topic,
            partition=events.partition,
            offset=offsets[i],
            event_time_ms=times[i],
            slice=slices[i],
            model_id=models[i],
            log_prob=log_probs[i],
            p_value=p_values[i],
            pooled=pooled[i],
            threshold=levels[i],
            blame=blamed,
        )
        for i, blamed in enumerate(_blames(config, scored, index))
    ]


def _blames(config: Config, scored: ScoredBatch, index: list[int]) -> list[list[Blame]]:
    """Of some events the columns that have the largest contributions, and how large a share of all of them."""
    shares = np.maximum(np.stack([scored.contributions[i] for i in index]), 0.0)
    most = np.argsort(-shares, axis=1, kind="stable")[:, :COLUMNS_BLAMED_MAX]
    parts = np.take_along_axis(shares, most, axis=1).tolist()
    totals, hiding = [float(share.sum()) or 1.0 for share in shares], Hiding(config.event)
    names, d, events = [*config.event.numeric, *config.event.categorical], len(config.event.numeric), scored.events

    def words(i: int, j: int) -> str:
        value = f"{float(events.numeric[i, j]):.15g}" if j < d else events.categorical[i, j - d]
        return hiding.words(names[j], f"value {_cut(value)}")

    return [
        [
            Blame(feature=names[j], weight=part / total, detail=words(i, j))
            for j, part in zip(columns, of_event, strict=True)
            if part > 0
        ]
        for i, columns, of_event, total in zip(index, most.tolist(), parts, totals, strict=True)
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
