"""What happened while an incident lasted and after it, beside its own messages: models asked for, trained, put into
service. And what a silence of it would cover."""

from __future__ import annotations

from collections.abc import Iterator

from flowlib.table import DAY_MS
from schemas.bounds import MILLIS_MAX
from schemas.incidents import Incident
from stream_app.console.queries import Points
from stream_app.console.rows import Row

STEPS_MAX = 60
"""Steps that are told, the first."""

_AFTER_MS = 7 * DAY_MS
_OF_EACH = 200
_DECIDED = {
    "promoted": "was promoted",
    "refused": "was refused",
    "covered": "was not needed: an earlier model covers it",
    "candidate": "passed its gates, and is compared on live events",
    "waiting": "waits for a person",
}


def story_of(points: Points, record: Incident, is_open: bool) -> list[Row]:
    """Steps in the order of their times, each ``{"time_ms", "says", "model_id"}``: from when it opened until a week
    after it has ended.
    """
    to_ms = MILLIS_MAX if is_open else min(record.pane_end_ms + _AFTER_MS, MILLIS_MAX)
    steps = sorted(_steps(points, record.opened_pane_ms, to_ms), key=lambda step: int(step["time_ms"]))
    return steps[:STEPS_MAX]


def _steps(points: Points, from_ms: int, to_ms: int) -> Iterator[Row]:
    for row in points.between("retrains", from_ms, to_ms, _OF_EACH):
        yield _step(row, f"A new model was asked for: {row['reason']}", "")
    for row in points.between("models", from_ms, to_ms, _OF_EACH):
        yield _step(row, f"Model {row['model_id']} {_DECIDED[row['status']]}: {row['reason']}", row["model_id"])
    for row in points.between("service", from_ms, to_ms, _OF_EACH):
        yield _step(row, _changed(row), row["model_id"])
    known = set[str]()
    for row in points.between("activations", from_ms, to_ms, _OF_EACH):
        if row["model_id"] not in known:
            known.add(row["model_id"])
            yield _step(row, f"Model {row['model_id']} scores from here on.", row["model_id"])


def _changed(row: Row) -> str:
    why = f": {row['why']}" if row["why"] else "."
    if row["verb"] == "rollback":
        return (
            f"{row['by']} took model {row['model_id']} out of service, {row['returns_to'] or 'no model'} returns{why}"
        )
    if row["verb"] == "extend":
        return f"Model {row['model_id']} scores all source partitions from here on{why}"
    if row["verb"] == "pin":
        return f"{row['by']} put model {row['model_id']} in service for good{why}"
    return f"{row['by']} let the newest promoted model be in service again{why}"


def _step(row: Row, says: str, model_id: str) -> Row:
    return {"time_ms": row["time_ms"], "says": says, "model_id": model_id}


def silence_of(record: Incident) -> tuple[dict[str, object], str]:
    """What a silence has to name so that it covers an incident whole, and that in words; nothing where no single one
    does, and why not.

    It names the slice where there is one, else the column, else the detector, that all members have.
    """
    members = record.members
    if not members:
        return {}, "It is about events as they arrive and about no slice: no silence covers it."
    if record.member_count > len(members):
        return {}, "Not all of its members are known here: use `driftflow silence`."
    places = {(member.slicing, member.slice) for member in members}
    if len(places) == 1:
        ((slicing, name),) = places
        return {"slices": [f"{slicing}={name}"]}, f"everything at {slicing} {name or 'all'}"
    for names, word in (
        ({member.feature for member in members}, "column"),
        ({m.detector for m in members}, "detector"),
    ):
        if len(names) == 1 and (name := names.pop()):
            return {"channel": name}, f"everything about the {word} {name}, in every slice"
    return {}, "Its members have neither slice, column nor detector in common: use `driftflow silence`."
