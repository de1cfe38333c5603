"""Pipeline results as points for the sinks. No tag varies by worker or attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from flowlib.table import Floats, Ints, Objects
from schemas.incidents import Action, Incident, SilencedIncident, StrangeEvents
from schemas.pane_layout import ALPHAS, log_prob_mean_sd
from schemas.records import EventAnomaly, ModelNotice, RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.stages.outputs import Field, Point
from stream_app.stages.summary import COLUMNS


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


ALPHA_FIELDS = tuple("p_le_" + f"{alpha:.4f}"[2:].rstrip("0") for alpha in ALPHAS)
"""Field of each level: ``p_le_`` and the digits after the point."""


_COUNTS = ("seen", "scored", "missing", "late", "unscorable", "adaptive")
_FIELDS = (*_COUNTS, "model_id", "log_prob_mean", "log_prob_sd", *ALPHA_FIELDS)
_UNSCORED = (*_COUNTS, "model_id", *ALPHA_FIELDS)
WINDOW_FIELDS = frozenset(_FIELDS)
"""Fields of a window's point; the smallest shifts have other names."""

_COUNT_COLUMNS = [COLUMNS[name].start for name in _COUNTS]


class PaneWindows(msgspec.Struct, frozen=True):
    """Statistics of m cells, each a slice in a pane, over the pane itself and the spans that end with it.

    Attributes:
        ends_ms: of each cell's pane.
        names, models: of each cell; what its slice is called and which model scored it.
        spans: name of each of the s spans (``pane``, ``7d``), the longest last.
        rows: ``(s, m, 16)`` int64, columns as :mod:`stream_app.stages.summary` says.
        notices: field name to ``(m,)`` sd, the smallest shift that each slice shows in some time, inf for none; part of
            the longest span's points.
    """

    slicing: str
    ends_ms: list[int]
    names: list[str]
    models: list[str]
    spans: list[str]
    rows: Ints
    notices: Mapping[str, Floats] = msgspec.field(default_factory=dict)


class WindowGroup(msgspec.Struct, frozen=True):
    """Cells of one span whose points have the same fields.

    Attributes:
        span: place of the span among the spans.
        cells: places of the cells, ascending.
        names: of the fields, in order.
        columns: for each field a value for each cell: int64, float64, or texts.
    """

    span: int
    cells: Ints
    names: tuple[str, ...]
    columns: list[Ints | Floats | Objects]

    def values(self) -> list[list[Field]]:
        """The columns as lists of what a point holds."""
        return [column.tolist() for column in self.columns]


def window_groups(windows: PaneWindows) -> Iterator[WindowGroup]:
    """The fields of all points by column: what was not scored has no likelihood, and not every shift is found."""
    models = np.array(windows.models, dtype=object)
    sums = (windows.rows[:, :, COLUMNS[name].start] for name in ("scored", "log_prob_sum", "log_prob_square_sum"))
    means, deviations = log_prob_mean_sd(*sums)
    for s, rows in enumerate(windows.rows):
        shifts = windows.notices if s == len(windows.spans) - 1 else {}
        known = np.isfinite([means[s], *shifts.values()])
        codes = (1 << np.arange(len(known))) @ known
        for code in np.unique(codes).tolist():
            cells = np.flatnonzero(codes == code)
            found = {name: values[cells] for bit, (name, values) in enumerate(shifts.items(), 1) if code >> bit & 1}
            scored = [means[s][cells], deviations[s][cells]] if code & 1 else []
            counts = rows[cells].T.copy()  # each column in one piece
            columns = [*counts[_COUNT_COLUMNS], models[cells], *scored, *counts[COLUMNS["p_le"]], *found.values()]
            names = (*(_FIELDS if scored else _UNSCORED), *found)
            yield WindowGroup(s, cells, names, columns)


def window_points(stream: str, windows: PaneWindows) -> list[Point]:
    """The ``windows`` points of each span, cell by cell."""
    made = dict[tuple[int, int], Point]()
    for group in window_groups(windows):
        shared = (("slicing", windows.slicing), ("span", windows.spans[group.span]), ("stream", stream))
        for i, values in zip(group.cells.tolist(), zip(*group.values(), strict=True), strict=True):
            tags, fields = (("slice", windows.names[i]), *shared), tuple(zip(group.names, values, strict=True))
            made[group.span, i] = Point("windows", tags, windows.ends_ms[i], fields)
    return [made[place] for place in sorted(made)]


def pit_points(config: Config, partition: int, end_ms: int, model_id: str, counts: Ints) -> list[Point]:
    """PIT histogram ``(d, 20)`` of each feature on a source partition, of the day's panes up to then."""
    points = []
    for feature, row in zip(config.event.numeric, counts.tolist(), strict=True):
        tags = (("feature", feature), ("partition", str(partition)), ("stream", config.stream))
        bins: list[tuple[str, Field]] = [(f"h{b:02d}", n) for b, n in enumerate(row)]
        points.append(Point("pit", tags, end_ms, (*bins, ("model_id", model_id))))
    return points


def incident_point(record: Incident, time_ms: int | None = None) -> Point:
    """A message of an incident, silenced ones too: at the end of its pane, or at another time."""
    tags = (
        ("id", record.id),
        ("kind", record.kind),
        ("number", str(record.number)),
        ("severity", record.severity),
        ("silenced", str(int(isinstance(record, SilencedIncident)))),
        ("state", record.state),
        ("stream", record.stream),
        ("thread", record.cause_id or record.id),  # the last by its name: readers find an incident by its first tag
    )
    fields: tuple[tuple[str, Field], ...] = (
        ("message", record.number),  # a number too: InfluxQL finds the newest by it where two have one time
        ("reason", record.reason),
        ("detector", record.detector),
        ("feature", record.feature),
        ("summary", record.summary),
        ("since_ms", record.since_ms),
        ("opened_pane_ms", record.opened_pane_ms),
        ("slices", record.slice_count),
        ("members", record.member_count),
        ("share", record.share),
        ("statistic", record.statistic),
        ("threshold", record.threshold),
        ("model_id", record.model_id),
        ("record", _json(record)),
    )
    return Point("incidents", tags, record.pane_end_ms if time_ms is None else time_ms, fields)


def strange_point(record: StrangeEvents) -> Point:
    """Strange events that were told."""
    fields: tuple[tuple[str, Field], ...] = (
        ("id", record.id),
        ("count", record.count),
        ("threshold", record.threshold),
        ("summary", record.summary),
        ("record", _json(record)),
    )
    return Point("strange_events", (("stream", record.stream),), record.pane_end_ms, fields)


def action_point(action: Action, time_ms: int) -> Point:
    """What a person has said, at the time on the stream at which it counts."""
    tags = (("id", action.id), ("stream", action.stream), ("verb", action.verb))
    fields: tuple[tuple[str, Field], ...] = (
        ("by", action.by),
        ("at_ms", action.at_ms),
        ("incident_id", action.incident_id),
        ("verdict", action.verdict),
        ("why", action.why),
        ("record", _json(action)),
    )
    return Point("actions", tags, time_ms, fields)


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


def retrain_point(request: RetrainRequest) -> Point:
    """A retrain request's point."""
    fields: tuple[tuple[str, Field], ...] = (
        ("id", request.id),
        ("reason", request.reason),
        ("slices", _json(request.slices)),
        ("model_id", request.model_id),
    )
    return Point("retrains", (("stream", request.stream),), request.requested_pane_ms, fields)


def service_point(change: ServiceChange) -> Point:
    """Another model is in service."""
    tags = (("id", change.id), ("stream", change.stream), ("verb", change.verb))
    fields: tuple[tuple[str, Field], ...] = (
        ("model_id", change.model_id),
        ("returns_to", change.returns_to),
        ("by", change.by),
        ("why", change.why),
    )
    return Point("service", tags, change.pane_end_ms, fields)


def activation_point(config: Config, partition: int, pane_start_ms: int, model_id: str) -> Point:
    """From which pane on a source partition is scored by a model."""
    tags = (("partition", str(partition)), ("stream", config.stream))
    return Point("activations", tags, pane_start_ms, (("model_id", model_id),))


def counters_points(config: Config, partition: int, reports: list[tuple[int, dict[str, int], int]]) -> list[Point]:
    """Running totals of a source partition.

    Args:
        config: the stream.
        partition: the source partition.
        reports: (event time, counters, panes that closed before their time), in order.
    """
    tags = (("partition", str(partition)), ("stream", config.stream))
    return [
        Point("counters", tags, time_ms, (*counters.items(), ("closed_early", early)))
        for time_ms, counters, early in reports
    ]
