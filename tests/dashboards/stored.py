"""The points of a small stream, as the sink hands them over, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.incidents import Incident
from stream_app.config import load
from stream_app.sinks.line_protocol import line_of
from stream_app.stages.outputs import Point
from stream_app.stages.points import counters_points, incident_point
from tests.console.storing import EXAMPLE, all_points
from tests.console.telling import PANE_MS, START_MS, made_incident

PANES = 24
END_MS = START_MS + PANES * PANE_MS
FAR = 500 / 2400 - 1 / 20
"""How far the histogram of PM2.5 is from flat, of both partitions together, in every day."""


def stored_points() -> list[Point]:
    """All of them."""
    return [*all_points(load(EXAMPLE), PANES), *_more()]


def stored_lines() -> list[str]:
    """Line protocol."""
    return [line_of(point) for point in stored_points()]


def sample_count() -> int:
    """How many samples VictoriaMetrics makes of them, but for that of 1970: by field, tags and time; a text is a 0."""
    points = [point for point in stored_points() if point.time_ms > 0]
    return len({(of.measurement, of.tags, of.time_ms, name) for of in points for name, _ in of.fields})


def _more() -> Iterator[Point]:
    """A small incident, and one that ends in the pane in which it was told of last; running totals of the beginning."""
    small = made_incident("beijing-air", "Tiantan", START_MS, START_MS + 1, id="small-1", severity="info")
    yield incident_point(small)
    for partition in range(3):
        since_ms = START_MS - partition
        yield incident_point(_intake(partition, since_ms=since_ms))
    yield incident_point(_intake(0, "resolve", number=2))
    for number, state in ((10, "accepted"), (9, "update")):
        more = {"id": "twice-1", "number": number}
        yield incident_point(made_incident("beijing-air", "Tiantan", START_MS, START_MS + 1, state, **more))
    counts = dict.fromkeys(("received", "windowed", "late", "rejected", "duplicate", "held"), 0)
    for partition in range(2):
        yield from counters_points(load(EXAMPLE), partition, [(START_MS + PANE_MS, counts, 0)])


def _intake(partition: int, state: str = "open", **more: Any) -> Incident:
    """What a partition tells of a fault that others have too."""
    fault = {"rules": ["intake"], "kind": "fault", "slices": [""], "cause_id": "not-json", "id": f"intake-{partition}"}
    more |= {"severity": "warning"}
    return made_incident("beijing-air", "", START_MS, START_MS + PANE_MS, state, **fault, **more)


def strange_share(name: str, span: str) -> float:
    """Share of a slice's strange events in the span that ends last."""
    (point,) = (of for of in all_points(load(EXAMPLE), PANES) if _is_last(of, name, span))
    fields = dict(point.fields)
    return float(fields["p_le_01"]) / float(fields["scored"])


def _is_last(point: Point, name: str, span: str) -> bool:
    tags = dict(point.tags)
    return point.measurement == "windows" and (tags["slice"], tags["span"], point.time_ms) == (name, span, END_MS)
