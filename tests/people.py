"""Incidents, messages about strange events, and actions, with what a test does not name left plain."""

from __future__ import annotations

from typing import Any

from schemas.incidents import Action, Incident, Member, SilencedIncident, StrangeEvents

HOUR_MS = 3_600_000
ID = "0f1e2d3c-0000-5000-8000-000000000000"


def member(rule: str = "drift", slice_: str = "Dongsi", **fields: Any) -> Member:
    """A rule that fired on a slice."""
    known = {"slicing": "station", "detector": "location", "feature": "TEMP", "direction": "down"}
    return Member(**{**known, "rule": rule, "slice": slice_, "since_ms": 0, "over": False, **fields})


def incident(name: str = ID, **fields: Any) -> Incident:
    """A message of an incident of the stream ``s``: that it is open, by default."""
    texts = dict.fromkeys(("evidence", "promise"), "")
    lists: dict[str, Any] = {field: [] for field in ("findings", "examples", "marks")}
    known = {
        "stream": "s",
        "number": 1,
        "state": "open",
        "reason": "opened",
        "kind": "drift",
        "severity": "critical",
        "rules": ["drift"],
        "detector": "location",
        "feature": "TEMP",
        "members": [member()],
        "member_count": 1,
        "slice_count": 1,
        "since_ms": 6 * HOUR_MS,
        "opened_pane_ms": 24 * HOUR_MS,
        "pane_start_ms": 29 * HOUR_MS,
        "pane_end_ms": 30 * HOUR_MS,
        "events": 24,
        "share": 0.5,
        "statistic": 9.0,
        "threshold": 3.0,
        "model_id": "m1",
        "summary": "Dongsi: TEMP is lower",
    }
    return Incident(**{**texts, **lists, **known, "id": name, **fields})


def silenced(message: Incident, by: str = "abcdefgh-ijkl") -> SilencedIncident:
    """The same message, kept from people."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return SilencedIncident(**{**fields, "silenced_by": by})


def strange(name: str = "5e5e5e5e-1", **fields: Any) -> StrangeEvents:
    """A message about three strange events of the stream ``s``."""
    known: dict[str, Any] = {"pane_start_ms": 0, "pane_end_ms": HOUR_MS, "from_ms": 0, "count": 3, "events": []}
    known |= {"stream": "s", "threshold": 0.001, "per_day": 0.1, "model_id": "m1"}
    return StrangeEvents(**{**known, "summary": "3 events are like nothing the model knows", "id": name, **fields})


def action(verb: str, name: str, **fields: Any) -> Action:
    """What ``anna`` has said on the stream ``s``."""
    return Action(**{"stream": "s", "by": "anna", "at_ms": 5 * HOUR_MS, "verb": verb, "id": name, **fields})
