"""An incident's own view: its last message whole, its thread, what people said, and curves of some of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from flowlib.table import DAY_MS
from schemas.bounds import MILLIS_MAX
from schemas.incidents import Incident
from stream_app.console import blamed, people, story, threads
from stream_app.console.queries import Points
from stream_app.console.rows import Row

STEPS_MAX = 240
"""Steps of a curve."""

CURVES_MAX = 5
"""Slices of an incident that are drawn."""

ACTIONS_MAX = 2_000
MESSAGES_MAX = 200
"""Messages of a thread that are told, the newest."""

STRANGE_MAX = 20
"""Messages of single strange events that are shown."""

_BEFORE_MS, _HIDDEN_MS = 14 * DAY_MS, 60 * DAY_MS
_MEASURES = {"missing": "missing", "volume": "events", "silence": "events", "intake": "events"}


def incident(points: Points, incident_id: str) -> Row | None:
    """Everything about one incident; None where there is no such incident. What several source partitions tell of one
    fault is told as one, whichever of them is asked for.
    """
    messages = points.thread(incident_id)
    if not messages:
        return None
    parts = threads.one_with(messages[-1], points.heads()) if messages[-1]["record"].cause_id else messages[-1:]
    (last,) = threads.by_cause(parts)
    record: Incident = replace(last["record"], id=incident_id)
    last = {**last, "record": record, "time_ms": max(part["time_ms"] for part in parts)}
    told = [row for part in parts for row in points.thread(part["record"].id)] if len(parts) > 1 else messages
    told.sort(key=lambda row: int(row["time_ms"]))
    actions = points.newest("actions", ACTIONS_MAX)
    from_ms, to_ms = _period(record)
    silence, words = story.silence_of(record)
    curves = _curves(points, record, from_ms, to_ms)
    return {
        "line": threads.line(last),
        "record": threads.builtins(record),
        "span": threads.span(last),
        "partitions": [threads.partition(part) for part in parts if len(parts) > 1],
        "thread": [threads.message(row) for row in told[-MESSAGES_MAX:]],
        "earlier": max(len(told) - MESSAGES_MAX, 0),
        "story": story.story_of(points, record, threads.is_open(last)),
        "blamed": blamed.plots_of(points, messages, from_ms, to_ms),
        "silence": {"possible": bool(silence), "says": words},
        "answers": people.answers_to(actions, incident_id),
        "marks": [mark for mark in people.marks(actions) if from_ms <= mark["at_ms"] <= to_ms],
        "curves": curves,
        "measure": _MEASURES.get(record.detector, "log_prob"),
        "left_out": points.left_out,
    }


def state_of(points: Points, record_id: str) -> str | None:
    """``open`` or ``over``; None where neither an incident nor strange events have that id."""
    messages = points.thread(record_id)
    if messages:
        return "open" if threads.is_open(messages[-1]) else "over"
    strange = points.newest("strange_events", STRANGE_MAX)
    return "over" if any(row["record"].id == record_id for row in strange) else None


def _period(record: Incident) -> tuple[int, int]:
    """From two weeks before it began, or as long before it opened as it has lasted, to a little after its last message.

    What began long before it opened is shown from two months before that.
    """
    lasted = max(record.pane_end_ms - record.opened_pane_ms, 0)
    hidden = min(max(record.opened_pane_ms - record.since_ms, 0), _HIDDEN_MS)
    before = max(hidden + _BEFORE_MS, lasted)
    return max(record.opened_pane_ms - before, 0), min(record.pane_end_ms + before // 5, MILLIS_MAX)


def _curves(points: Points, record: Incident, from_ms: int, to_ms: int) -> list[Row]:
    """Panes of its first slices; of some slices of the slicing where it is about all of them together."""
    places = threads.places(record)
    slicings = {member.slicing for member in record.members} - {""}
    if slicings and not places:
        rows = points.last_windows()
        places = sorted({(row["slicing"], row["slice"]) for row in rows if row["slicing"] in slicings})
    made = (_curve(slicing, name, points.curve(slicing, name, "pane", from_ms, to_ms)) for slicing, name in places)
    return list(islice((curve for curve in made if curve["t"]), CURVES_MAX))


def _curve(slicing: str, name: str, panes: Sequence[Row]) -> Row:
    """A slice's panes, several in one where there are more than can be told apart."""
    step = -(-len(panes) // STEPS_MAX) or 1
    steps = [panes[at : at + step] for at in range(0, len(panes), step)]
    return {
        "slicing": slicing,
        "slice": name,
        "t": [rows[-1]["time_ms"] for rows in steps],
        "log_prob": [_mean(rows, "log_prob_mean", "scored") for rows in steps],
        "events": [_mean(rows, "seen") for rows in steps],
        "missing": [_of_seen(rows) for rows in steps],
        "model_id": [rows[-1]["model_id"] for rows in steps],
    }


def _mean(rows: Sequence[Row], name: str, weight: str = "") -> float | None:
    """The mean of a field over panes of the last one's model that have it."""
    known = [row for row in rows if row.get(name) is not None and row["model_id"] == rows[-1]["model_id"]]
    total = sum(row[weight] if weight else 1 for row in known)
    return sum(row[name] * (row[weight] if weight else 1) for row in known) / total if total else None


def _of_seen(rows: Sequence[Row]) -> float | None:
    seen = sum(row["seen"] for row in rows)
    return sum(row["missing"] for row in rows) / seen if seen else None
