"""Pipeline results as points for the sinks. No tag varies by worker or attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from flowlib.table import Floats, Ints
from schemas.pane_layout import ALPHAS, PIT_BINS, PaneLayout
from schemas.records import Alert, EventAnomaly, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.stages.outputs import Field, Point


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


ALPHA_FIELDS = tuple("p_le_" + f"{alpha:.4f}"[2:].rstrip("0") for alpha in ALPHAS)
"""Field of each level: ``p_le_`` and the digits after the point."""


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """Merged statistics of one slice over one span, ending with a closed pane.

    Attributes:
        span: ``pane`` or the span's name (``7d``).
        start_ms, end_ms: the time covered, half-open.
        row: ``(w,)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
    """

    slicing: str
    slice: str
    span: str
    start_ms: int
    end_ms: int
    model_id: str
    row: Ints


def window_point(config: Config, layout: PaneLayout, update: WindowUpdate) -> Point:
    """The ``windows`` point of an update."""
    row = update.row
    mean, sd = (float(value) for value in layout.log_prob_mean_sd(row))
    fields: list[tuple[str, Field]] = [
        ("seen", int(layout.get(row, "seen"))),
        ("scored", int(layout.get(row, "scored"))),
        ("missing", int(layout.get(row, "missing").sum())),
        ("late", int(layout.get(row, "late"))),
        ("unscorable", int(layout.get(row, "unscorable"))),
        ("model_id", update.model_id),
    ]
    if math.isfinite(mean):
        fields += [("log_prob_mean", mean), ("log_prob_sd", sd)]
    fields += [(name, int(n)) for name, n in zip(ALPHA_FIELDS, layout.get(row, "p_le"), strict=True)]
    tags = (("slice", update.slice), ("slicing", update.slicing), ("span", update.span), ("stream", config.stream))
    return Point("windows", tags, update.end_ms, tuple(fields))


def pit_points(config: Config, layout: PaneLayout, update: WindowUpdate, moved: Floats) -> list[Point]:
    """PIT histogram of each of the d features of a rolling window, and ``moved``, ``(d,)``, its distance from the reference."""
    points = []
    for j, counts in enumerate(layout.pit(update.row)):
        tags = (
            ("feature", config.event.numeric[j]),
            ("slice", update.slice),
            ("slicing", update.slicing),
            ("span", update.span),
            ("stream", config.stream),
        )
        fields: tuple[tuple[str, Field], ...] = tuple((f"h{b:02d}", int(counts[b])) for b in range(PIT_BINS))
        points.append(Point("pit", tags, update.end_ms, (*fields, ("tv", float(moved[j])))))
    return points


def alert_point(alert: Alert) -> Point:
    """An alert's point, at the pane it speaks of."""
    tags = (
        ("rule", alert.rule),
        ("slice", alert.slice),
        ("slicing", alert.slicing),
        ("state", alert.state),
        ("stream", alert.stream),
    )
    fields: tuple[tuple[str, Field], ...] = (
        ("id", alert.id),
        ("statistic", alert.statistic),
        ("threshold", alert.threshold),
        ("evidence", alert.evidence),
        ("summary", alert.summary),
        ("blame", _json(alert.blame)),
        ("opened_pane_ms", alert.opened_pane_ms),
        ("model_id", alert.model_id),
    )
    return Point("alerts", tags, alert.pane_end_ms, fields)


def anomaly_point(record: EventAnomaly) -> Point:
    """An event anomaly's point, at its event time."""
    fields: tuple[tuple[str, Field], ...] = (
        ("p_value", record.p_value),
        ("log_prob", record.log_prob),
        ("partition", record.partition),
        ("offset", record.offset),
        ("id", record.id),
        ("blame", _json(record.blame)),
    )
    return Point("anomalies", (("slice", record.slice), ("stream", record.stream)), record.event_time_ms, fields)


def model_point(notice: ModelNotice) -> Point:
    """A model's point: promoted or refused, with its gates."""
    fields: tuple[tuple[str, Field], ...] = (
        ("status", notice.status),
        ("parent_id", notice.parent_id),
        ("reason", notice.reason),
        ("request_id", notice.request_id),
        ("train_rows", notice.train_rows),
        ("gates", _json(notice.gates)),
    )
    return Point("models", (("model_id", notice.model_id), ("stream", notice.stream)), notice.created_ms, fields)


def retrain_point(request: RetrainRequest) -> Point:
    """A retrain request's point."""
    fields: tuple[tuple[str, Field], ...] = (
        ("id", request.id),
        ("reason", request.reason),
        ("slices", _json(request.slices)),
        ("model_id", request.model_id),
    )
    return Point("retrains", (("stream", request.stream),), request.requested_pane_ms, fields)


def activation_point(config: Config, partition: int, pane_start_ms: int, model_id: str) -> Point:
    """From which pane on a source partition is scored by a model."""
    tags = (("partition", str(partition)), ("stream", config.stream))
    return Point("activations", tags, pane_start_ms, (("model_id", model_id),))


def counters_point(config: Config, partition: int, time_ms: int, counters: dict[str, int], closed_early: int) -> Point:
    """Running totals of a source partition, and its panes that closed before their time."""
    tags = (("partition", str(partition)), ("stream", config.stream))
    return Point("counters", tags, time_ms, (*counters.items(), ("closed_early", closed_early)))
