"""What WATCH says: alerts and retrain requests as signals, windows as points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from flowlib.table import Floats, Ints
from schemas.codecs import Envelope, encode_events
from schemas.records import Alert, RetrainRequest, record_ids
from stream_app.config import Config
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.outputs import Outgoing, Point
from stream_app.stages.partitioning import watch_signals
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.windows import span_name


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
    config: Config, panes: SlicingPanes, spans: Iterable[int], rows: Ints, notices: Mapping[str, Floats]
) -> list[list[Point]]:
    """Points of each pane itself and of every rolling window that ends with it, pane by pane.

    Args:
        config: the stream.
        panes: n final panes, m cells.
        spans: those of the windows, ms.
        rows: ``(s + 1, m, 16)`` of :meth:`SlicingWindows.enter`.
        notices: the smallest shift that each cell's slice shows in some time; part of the longest span's points.
    """
    pane_ms, edges = int(config.windows.pane), panes.edges
    ends = [start + pane_ms for k, start in enumerate(panes.starts_ms) for _ in range(edges[k], edges[k + 1])]
    names = ["pane", *(span_name(span) for span in spans)]
    points = window_points(config, PaneWindows(panes.slicing, ends, panes.names, panes.models, names, rows, notices))
    of_spans = range(0, len(points), max(len(ends), 1))
    return [[point for first in of_spans for point in points[first + a : first + b]] for a, b in pairwise(edges)]
