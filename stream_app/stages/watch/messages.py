"""What WATCH says: alerts and retrain requests as signals, windows as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flowlib.table import Floats, Ints
from schemas.codecs import Envelope, encode_events
from schemas.pane_layout import PaneLayout
from schemas.records import Alert, RetrainRequest, record_ids
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing, Point
from stream_app.stages.partitioning import watch_signals
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.summary import summary
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.windows import SlicingWindows, span_name


def alerts(config: Config, partition: int, records: Sequence[Alert]) -> list[Outgoing]:
    """Alerts as signals of a partials partition."""
    ids = record_ids([("alert-event", alert.id, alert.state, alert.pane_end_ms) for alert in records])
    source = _source(config, partition)
    envelopes = [
        Envelope(alert, event_id, source, alert.pane_end_ms, alert.slice)
        for event_id, alert in zip(ids, records, strict=True)
    ]
    return _signals(config, partition, envelopes)


def request(config: Config, partition: int, record: RetrainRequest) -> list[Outgoing]:
    """A retrain request as a signal of a partials partition."""
    subject = ",".join(record.slices)
    envelope = Envelope(record, record.id, _source(config, partition), record.requested_pane_ms, subject)
    return _signals(config, partition, [envelope])


def _source(config: Config, partition: int) -> str:
    return f"/driftflow/{config.stream}/watch/{partition}"


def _signals(config: Config, partition: int, envelopes: list[Envelope]) -> list[Outgoing]:
    target = watch_signals(partition, config.topics.partitions)
    return [
        Outgoing("signals", target, envelope.subject.encode(), message.value, message.headers)
        for envelope, message in zip(envelopes, encode_events(envelopes), strict=True)
    ]


def windows(
    config: Config,
    layout: PaneLayout,
    pane: SlicingPane,
    index: Ints,
    rolling: SlicingWindows,
    notices: Mapping[str, Floats],
) -> list[Point]:
    """Points of the pane itself and of every rolling window that ends with it, for each of its m slices.

    Args:
        config: the stream.
        layout: columns of the pane's rows.
        pane: the final pane.
        index: ``(m,)`` place of each slice in the windows.
        rolling: the rolling windows of the slicing, this pane included.
        notices: the smallest shift that each of the m slices shows in some time; part of the longest span's points.
    """
    spans, rows = ["pane"], [summary(layout, pane.rows)]
    for span, of_span in rolling.spans(pane.start_ms, index):
        spans.append(span_name(span))
        rows.append(of_span)
    made = PaneWindows(pane.slicing, pane.end_ms, pane.names, pane.models, spans, np.stack(rows), notices)
    return window_points(config, made)
