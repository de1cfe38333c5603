"""What people say of models, requests that carry it, and what was written down."""

from __future__ import annotations

from typing import Any

from schemas.incidents import Action
from schemas.records import IncidentSpan, RetrainRequest
from stream_app.kafka.actions import new_action
from stream_app.models.audit import AuditLog
from tests.trainer.asking import LATER, ask
from tests.trainer.shadow.worlds import World, config_in


def say(verb: str, model_id: str, by: str = "ann", why: str = "") -> Action:
    return new_action("s", verb, by, 1, model=model_id, why=why)


def accepting(number: int, model_id: str, *incidents: str, until: int = 9) -> RetrainRequest:
    """A request within a cooldown of the first one, with incidents that people have accepted."""
    spans = [
        IncidentSpan(incident_id=name, kind="burst", slicing="", slices=[], from_ms=0, to_ms=until)
        for name in incidents
    ]
    return ask(number, LATER + 10 * number, reason="drift", model_id=model_id, accepted=spans)


def statuses(world: World) -> list[str]:
    return [notice.status for notice in world.answers()]


def lines(world: World, *events: str) -> list[Any]:
    return [entry for entry in AuditLog(config_in(world.folder)).entries() if entry.event in events]
