"""What SCORE sends: blocks and markers (the partials), event anomalies, activations, dead letters."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np

from schemas.codecs import encode_event, encode_partial
from schemas.pane_layout import PaneLayout
from schemas.records import Activation, Blame, DeadLetter, EventAnomaly, PaneBlock, PaneClosed, record_id
from stream_app.config import Config
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import partition_for
from stream_app.stages.score.panes import Pane
from stream_app.stages.score.rejects import Reject

BODY_BYTES_MAX = 4_096
"""Part of a rejected body that its dead letter carries."""

BLOCK_SLICES_MAX = 1_000
BLOCK_BYTES = 512 * 1024
"""Size of a block's columns, half of what a broker takes by default (``message.max.bytes``, 1 MiB) at most."""

BLAMED_MAX = 3
"""Columns that an anomaly names."""


def pane_blocks(
    config: Config, layout: PaneLayout, partition: int, pane_start_ms: int, panes: list[Pane]
) -> list[Outgoing]:
    """The blocks of a closed pane of a source partition, one Pane for each slicing."""
    messages, blocks = [], defaultdict[int, int](int)
    slices_max = max(min(BLOCK_SLICES_MAX, BLOCK_BYTES // (8 * layout.width)), 1)
    for slicing, pane in zip(config.slicing_names, panes, strict=True):
        routes = defaultdict[int, list[str]](list)
        for name in sorted(pane.slices):
            routes[slice_partition(config, slicing, name)].append(name)
        for target, names in sorted(routes.items()):
            for first in range(0, len(names), slices_max):
                chunk = names[first : first + slices_max]
                rows = np.array([pane.slices[name] for name in chunk])
                block = PaneBlock(
                    stream=config.stream,
                    partition=partition,
                    pane_start_ms=pane_start_ms,
                    pane_end_ms=pane_start_ms + config.windows.pane,
                    model_id=pane.model_id,
                    slicing=slicing,
                    index=blocks[target],
                    slices=chunk,
                    columns=layout.encode(pane.rows[rows]),
                    top=[pane.top.get(int(row), []) for row in rows],
                )
                messages.append(_partial(target, block))
                blocks[target] += 1
    return messages


def slice_partition(config: Config, slicing: str, name: str) -> int:
    """The partials partition that looks after a slice: a stable hash."""
    return partition_for(f"{slicing}\0{name}".encode(), config.topics.partitions)


def markers(config: Config, partition: int, pane_end_ms: int, offset_end: int) -> list[Outgoing]:
    """``PaneClosed`` of a source partition on every partials partition: all its panes up to ``pane_end_ms`` are complete."""
    record = PaneClosed(
        stream=config.stream,
        partition=partition,
        pane_start_ms=pane_end_ms - config.windows.pane,
        pane_end_ms=pane_end_ms,
        offset_end=offset_end,
    )
    return [_partial(target, record) for target in range(config.topics.partitions)]


def _partial(target: int, record: PaneBlock | PaneClosed) -> Outgoing:
    message = encode_partial(record)
    return Outgoing("partials", target, None, message.value, message.headers)


def anomaly(config: Config, scored: ScoredBatch, i: int) -> EventAnomaly:
    """The anomaly record of row ``i``."""
    events = scored.events
    share = np.maximum(scored.contributions[i], 0.0)
    total = float(share.sum()) or 1.0
    names = [*config.event.numeric, *config.event.categorical]
    values = [*(f"{float(value):g}" for value in events.numeric[i]), *events.categorical[i]]
    order = np.argsort(-share, kind="stable")[:BLAMED_MAX]
    blame = [
        Blame(feature=names[j], weight=float(share[j]) / total, detail=f"value {values[j]}")
        for j in order
        if share[j] > 0
    ]
    source = (config.stream, events.topic, events.partition, int(events.offsets[i]))
    return EventAnomaly(
        id=record_id("event-anomaly", *source, scored.model[i]),
        stream=config.stream,
        topic=events.topic,
        partition=events.partition,
        offset=int(events.offsets[i]),
        event_time_ms=int(events.event_time_ms[i]),
        slice=str(events.slices[i, 0]),
        model_id=str(scored.model[i]),
        log_prob=float(scored.log_prob[i]),
        p_value=float(scored.p_value[i]),
        pooled=bool(scored.pooled[i]),
        threshold=config.event_rule.alpha,
        blame=blame,
    )


def anomaly_message(config: Config, record: EventAnomaly) -> Outgoing:
    """An anomaly as a signal."""
    source = f"/driftflow/{config.stream}/score/{record.partition}"
    message = encode_event(
        record, event_id=record.id, source=source, time_ms=record.event_time_ms, subject=record.slice
    )
    return Outgoing("signals", record.partition, record.slice.encode(), message.value, message.headers)


def activation_message(config: Config, topic: str, partition: int, pane_start_ms: int, model_id: str) -> Outgoing:
    """An activation as a signal."""
    record = Activation(
        stream=config.stream, topic=topic, partition=partition, pane_start_ms=pane_start_ms, model_id=model_id
    )
    event_id = record_id("activation", config.stream, topic, partition, pane_start_ms, model_id)
    source = f"/driftflow/{config.stream}/score/{partition}"
    message = encode_event(record, event_id=event_id, source=source, time_ms=pane_start_ms, subject=model_id)
    return Outgoing("signals", partition, model_id.encode(), message.value, message.headers)


def dead_letter(config: Config, topic: str, partition: int, reject: Reject) -> Outgoing:
    """A rejected row for the dead-letter topic, with the first part of its body."""
    body = reject.value or b""
    letter_id = record_id("dead-letter", config.stream, topic, partition, reject.offset)
    record = DeadLetter(
        id=letter_id,
        stream=config.stream,
        topic=topic,
        partition=partition,
        offset=reject.offset,
        reason=reject.reason,
        field=reject.field,
        detail=reject.detail,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        body=body[:BODY_BYTES_MAX],
    )
    source = f"/driftflow/{config.stream}/score/{partition}"
    message = encode_event(record, event_id=letter_id, source=source, time_ms=0, subject=reject.reason)
    return Outgoing("dead_letters", 0, None, message.value, message.headers)
