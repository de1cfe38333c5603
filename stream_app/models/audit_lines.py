"""Which line of the audit log belongs to what was decided: for whoever writes it, and for whoever checks it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from schemas.incidents import Action
from schemas.records import ModelNotice, RetrainRequest, ServiceChange
from stream_app.models.history import Entry

Line = tuple[str, str, dict[str, Any]]
"""Event, what it is about, and the facts."""

OF_STATUS = {
    "promoted": "promotion",
    "refused": "refusal",
    "covered": "covered",
    "candidate": "shadow",
    "waiting": "wait",
}
"""Status of a notice to the event."""

KeyEvent = Literal["new", "next", "rotated", "revoked"]


def of_request(request: RetrainRequest, by: str) -> Line:
    """The line of a request; ``by``: who has asked."""
    ranges = [{"partition": part.partition, "start": part.start, "end": part.end} for part in request.train]
    body = {
        "by": by,
        "reason": request.reason,
        "incidents": request.alerts,
        "model": request.model_id,
        "pane_ms": request.requested_pane_ms,
        "ranges": ranges,
        "unjudged": len(request.unjudged),
        "accepted": len(request.accepted),
    }
    return "request", request.id, body


def of_training(notice: ModelNotice) -> Line:
    """The line of a training: what it used, from the notice of what came of it."""
    facts = {name: value for name, value in notice.provenance.items() if name not in ("gates", "settings")}
    model_id = "" if notice.status == "refused" else notice.model_id
    return "training", notice.request_id, {"model": model_id, "train_rows": notice.train_rows, **facts}


def of_gates(notice: ModelNotice, verdict: str) -> Line:
    """The line of the gates."""
    return "gates", notice.request_id, {"verdict": verdict, "gates": notice.gates}


def of_notice(notice: ModelNotice) -> Line:
    """The line of a notice; its number tells which notice it is about."""
    about = notice.model_id if notice.status in ("promoted", "candidate", "waiting") else notice.request_id
    body = {
        "model": notice.model_id,
        "request": notice.request_id,
        "parent": notice.parent_id,
        "sequence": notice.sequence,
        "reason": notice.reason,
        "approved_by": notice.provenance.get("approved_by", ""),
    }
    return OF_STATUS[notice.status], about, body


def of_change(change: ServiceChange) -> Line:
    """The line of a change of the model in service."""
    return change.verb, change.id, msgspec.to_builtins(change)


def of_action(action: Action) -> Line:
    """The line of what a person has said, less the fields that the verb has no use for. What asks for a change of the
    model in service is one thing, and that change another.
    """
    event = f"{action.verb} asked" if action.verb in ("rollback", "pin", "unpin") else action.verb
    body = {name: value for name, value in msgspec.to_builtins(action).items() if value or name == "at_ms"}
    return event, action.id, {name: value for name, value in body.items() if name not in ("id", "stream", "verb")}


NOTHING = "no effect"
"""Event of the line of what a person has said, where nothing follows from it."""


def of_nothing(action: Action, why: str) -> Line:
    """The line of what a person has said and nothing follows from, with why."""
    _, about, body = of_action(action)
    return NOTHING, about, {**body, "verb": action.verb, "says": why}


def of_overruled(incident_id: str, notice: ModelNotice) -> Line:
    """The line of an incident that later models are not held to any more: a person has approved one that does not flag
    its events, of which this is the promotion.
    """
    approval = notice.provenance.get("approval", {})
    body = {
        "incident": incident_id,
        "model": notice.model_id,
        "by": approval.get("by", ""),
        "why": approval.get("why", ""),
    }
    return "canary overruled", f"{incident_id} {notice.model_id}", {**body, "action": approval.get("action", "")}


def of_entry(entry: Entry) -> tuple[str, str]:
    """Event and name of the line of what has changed the model in service, or the anchor."""
    return entry.verb, entry.model_id if entry.verb == "promotion" else entry.request_id


def of_key(role: str, key: str, event: KeyEvent) -> Line:
    """The line of a change of keys."""
    return "key change", f"{event} {key}", {"role": role, "key": key, "change": event}
