"""Pipeline results as points for the sinks. No tag varies by worker or attempt."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from flowlib.table import Floats, Ints
from schemas.pane_layout import ALPHAS, PaneLayout
from schemas.records import Alert, EventAnomaly, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.stages.outputs import Field, Point


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


ALPHA_FIELDS = tuple("p_le_" + f"{alpha:.4f}"[2:].rstrip("0") for alpha in ALPHAS)
"""Field of each level: ``p_le_`` and the digits after the point."""


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Merged statistics of the m slices of a pane over one span that ends with it.

    Attributes:
        span: ``pane`` or the span's name (``7d``).
        names, models: of each slice; what it is called and which model scored it.
        rows: ``(m, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
    """

    span: str
    slicing: str
    end_ms: int
    names: list[str]
    models: list[str]
    rows: Ints


def window_points(config: Config, layout: PaneLayout, span: SpanRows) -> list[Point]:
    """The ``windows`` point of each slice."""
    rows, place = span.rows, layout.columns
    counts = {name: rows[:, place[name].start].tolist() for name in ("seen", "scored", "late", "unscorable")}
    missing = rows[:, place["missing"]].sum(axis=1).tolist()
    levels = rows[:, place["p_le"]].tolist()
    means, deviations = (values.tolist() for values in layout.log_prob_mean_sd(rows))
    points = []
    for i, (name, model_id) in enumerate(zip(span.names, span.models, strict=True)):
        fields: list[tuple[str, Field]] = [
            ("seen", counts["seen"][i]),
            ("scored", counts["scored"][i]),
            ("missing", missing[i]),
            ("late", counts["late"][i]),
            ("unscorable", counts["unscorable"][i]),
            ("model_id", model_id),
        ]
        if math.isfinite(means[i]):
            fields += [("log_prob_mean", means[i]), ("log_prob_sd", deviations[i])]
        fields += zip(ALPHA_FIELDS, levels[i], strict=True)
        tags = (("slice", name), ("slicing", span.slicing), ("span", span.span), ("stream", config.stream))
        points.append(Point("windows", tags, span.end_ms, tuple(fields)))
    return points


def pit_points(config: Config, layout: PaneLayout, span: SpanRows, moved: list[Floats]) -> list[Point]:
    """PIT histogram of each slice and feature, and ``moved``, m of ``(d,)``, its distance from the reference."""
    points = []
    histograms = layout.pit(span.rows).tolist()
    for name, of_slice, distance in zip(span.names, histograms, moved, strict=True):
        for feature, counts, tv in zip(config.event.numeric, of_slice, distance.tolist(), strict=True):
            tags = (
                ("feature", feature),
                ("slice", name),
                ("slicing", span.slicing),
                ("span", span.span),
                ("stream", config.stream),
            )
            bins = tuple((f"h{b:02d}", n) for b, n in enumerate(counts))
            points.append(Point("pit", tags, span.end_ms, (*bins, ("tv", tv))))
    return points


def alert_points(alerts: Iterable[Alert]) -> list[Point]:
    """Points of alerts, at the panes they speak of."""
    return [_alert_point(alert) for alert in alerts]


def _alert_point(alert: Alert) -> Point:
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


def anomaly_points(records: Iterable[EventAnomaly], ordinals: Iterable[int]) -> list[Point]:
    """Points of event anomalies, at their event times.

    Args:
        records: the anomalies.
        ordinals: of each, how many its source partition and slice have had in the same millisecond before it.
    """
    points = []
    for record, n in zip(records, ordinals, strict=True):
        fields: tuple[tuple[str, Field], ...] = (
            ("p_value", record.p_value),
            ("log_prob", record.log_prob),
            ("offset", record.offset),
            ("id", record.id),
            ("blame", _json(record.blame)),
        )
        tags = (("n", str(n)), ("partition", str(record.partition)), ("slice", record.slice), ("stream", record.stream))
        points.append(Point("anomalies", tags, record.event_time_ms, fields))
    return points


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


def retrain_point(request: RetrainRequest, partition: int) -> Point:
    """A retrain request's point; ``partition`` is the partials partition that asks, one of several in the same pane."""
    fields: tuple[tuple[str, Field], ...] = (
        ("id", request.id),
        ("reason", request.reason),
        ("slices", _json(request.slices)),
        ("model_id", request.model_id),
    )
    tags = (("partition", str(partition)), ("stream", request.stream))
    return Point("retrains", tags, request.requested_pane_ms, fields)


def activation_point(config: Config, partition: int, pane_start_ms: int, model_id: str) -> Point:
    """From which pane on a source partition is scored by a model."""
    tags = (("partition", str(partition)), ("stream", config.stream))
    return Point("activations", tags, pane_start_ms, (("model_id", model_id),))


def counters_points(config: Config, partition: int, reports: list[tuple[int, dict[str, int], int]]) -> list[Point]:
    """Running totals of a source partition.

    Args:
        config: the stream.
        partition: the source partition.
        reports: (event time, counters, panes that closed before their time) at each closing.
    """
    tags = (("partition", str(partition)), ("stream", config.stream))
    return [
        Point("counters", tags, time_ms, (*counters.items(), ("closed_early", early)))
        for time_ms, counters, early in reports
    ]
