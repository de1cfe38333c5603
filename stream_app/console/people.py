"""What people have said: marks, silences, answers to incidents. Each stands where it counts, on the stream's time."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.incidents import Action
from stream_app.console.rows import Row

MARKS_MAX = 200


def marks(rows: Iterable[Row]) -> list[Row]:
    """Releases and the like, oldest first, the newest ``MARKS_MAX``."""
    actions = (row["record"] for row in rows)
    found = [{"at_ms": a.at_ms, "text": a.why, "by": a.by} for a in actions if a.verb == "mark"]
    return sorted(found, key=lambda mark: int(mark["at_ms"]))[-MARKS_MAX:]


def silences(rows: Iterable[Row], now_ms: int) -> list[Row]:
    """Silences that are in force or will be, the next to end first."""
    actions: list[Action] = [row["record"] for row in rows]
    lifted = {action.incident_id for action in actions if action.verb == "unsilence"}
    kept = (a for a in actions if a.verb == "silence" and a.id not in lifted and a.to_ms > now_ms)
    names = ("id", "by", "why", "slices", "channel", "direction", "below_sd", "from_ms", "to_ms")
    found = [{name: getattr(action, name) for name in names} for action in kept]
    return sorted(found, key=lambda silence: (silence["to_ms"], silence["id"]))


def answers_to(rows: Iterable[Row], incident_id: str) -> list[Row]:
    """What people said about an incident, in the order in which it counted."""
    said = (row for row in rows if row["record"].incident_id == incident_id)
    names = ("verb", "by", "why", "verdict")
    return [{name: getattr(row["record"], name) for name in names} | {"time_ms": row["time_ms"]} for row in said]


def verdicts(rows: Iterable[Row]) -> dict[str, str]:
    """The last verdict on each incident; rows are oldest first."""
    return {row["record"].incident_id: row["record"].verdict for row in rows if row["record"].verb == "feedback"}
