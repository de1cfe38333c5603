"""What WATCH sends: alerts and retrain requests as signals, windows as points."""

from __future__ import annotations

from flowlib.table import Ints
from schemas.codecs import encode_event
from schemas.pane_layout import PaneLayout
from schemas.records import Alert, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing, Point
from stream_app.stages.points import WindowUpdate, pit_points, window_point
from stream_app.stages.watch.detectors import Reference
from stream_app.stages.watch.detectors.pit import distances
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.windows import SlicingWindows, span_name

PIT_POINTS_EVERY_MS = 86_400_000
"""PIT histograms go to the sink once a day and span: they are wide and move slowly."""


def alert_message(config: Config, partition: int, alert: Alert) -> Outgoing:
    """An alert as a signal of a partials partition."""
    event_id = record_id("alert-event", alert.id, alert.state, alert.pane_end_ms)
    return _signal(config, partition, alert, event_id, alert.pane_end_ms, alert.slice)


def request_message(config: Config, partition: int, request: RetrainRequest) -> Outgoing:
    """A retrain request as a signal of a partials partition."""
    subject = ",".join(request.slices)
    return _signal(config, partition, request, request.id, request.requested_pane_ms, subject)


def _signal(
    config: Config, partition: int, record: Alert | RetrainRequest, event_id: str, time_ms: int, subject: str
) -> Outgoing:
    source = f"/driftflow/{config.stream}/watch/{partition}"
    message = encode_event(record, event_id=event_id, source=source, time_ms=time_ms, subject=subject)
    target = config.topics.partitions + partition  # one writer per signals partition: SCORE has those below
    return Outgoing("signals", target, subject.encode(), message.value, message.headers)


def window_points(
    config: Config,
    layout: PaneLayout,
    pane: SlicingPane,
    index: Ints,
    references: list[Reference],
    windows: SlicingWindows,
) -> list[Point]:
    """The pane itself and every rolling window that ends with it, for each of its m slices.

    Args:
        config: the stream.
        layout: columns of the rows.
        pane: the final pane.
        index: ``(m,)`` place of each slice in the windows.
        references: what is normal for each slice, m of them.
        windows: the rolling windows of the slicing, this pane included.
    """
    points = []
    start, end = pane.start_ms, pane.end_ms
    for i, (name, model_id) in enumerate(zip(pane.names, pane.models, strict=True)):
        update = WindowUpdate(pane.slicing, name, "pane", start, end, model_id, pane.rows[i])
        points.append(window_point(config, layout, update))
        for ring in windows.rings:
            row = ring.total[index[i]]
            span, start_ms = span_name(ring.span_ms), ring.start_ms(start)
            update = WindowUpdate(pane.slicing, name, span, start_ms, end, model_id, row)
            points.append(window_point(config, layout, update))
            if end % PIT_POINTS_EVERY_MS == 0 and ring.span_ms >= PIT_POINTS_EVERY_MS:
                moved = distances(layout.pit(row), references[i].pit)
                points += pit_points(config, layout, update, moved)
    return points
