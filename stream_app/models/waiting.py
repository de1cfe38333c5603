"""What follows where a person lets a model in that waits for them, or not: said in its notice, and by who shows it."""

from __future__ import annotations

from typing import Any

from schemas.records import ModelNotice
from stream_app.config.types import PromotionName

GATE = "canaries"
"""The gate that holds a model to incidents that people have confirmed."""

_NAMED_MAX = 5


def if_approved(notice: ModelNotice, promotion: PromotionName) -> str:
    """What follows from a yes.

    Args:
        notice: of a model that waits.
        promotion: ``trainer.promotion``.
    """
    if notice.provenance.get("shadow") or promotion == "auto" or not notice.parent_id:
        says = "it enters service at once"
    else:
        says = (
            f"it is compared with model {notice.parent_id} on live events, and enters service where it is surely "
            "better there; nobody is asked again"
        )
    if forgotten := incidents_of(notice, GATE):
        says += f"; no later model is held to what it does not flag any more: {_named(forgotten)}"
    if learned := incidents_of(notice, "bursts"):
        says += f"; it hardly flags what nobody has judged: {_named(learned)}"
    return says


def if_rejected(notice: ModelNotice) -> str:
    """What follows from a no."""
    if not notice.parent_id:
        return "no model is in service, and nothing is scored, until another one is trained"
    share = _alarm_share(notice)
    finds = "" if share is None else f", which finds {share:.2%} of the newest events as strange as 1% should be"
    return (
        f"model {notice.parent_id} stays in service{finds}; another one is asked for when retrain.cooldown is over, or "
        "at once where somebody accepts an incident"
    )


def incidents_of(notice: ModelNotice, gate: str) -> list[str]:
    """Incidents at which a model has failed at a gate; none where it has passed."""
    found = notice.gates.get(gate)
    if not isinstance(found, dict) or found.get("passed"):
        return []
    return [str(incident_id) for incident_id in found.get("incidents", ())]


def _alarm_share(notice: ModelNotice) -> float | None:
    """Of the model in service, on live events or on those that judged the other one; None where that is not known."""
    shadow: dict[str, Any] = notice.provenance.get("shadow") or {}
    gate = notice.gates.get("calibration_high")
    known = [shadow.get("in_service_alarm_share"), gate.get("in_service") if isinstance(gate, dict) else None]
    return next((float(share) for share in known if isinstance(share, int | float)), None)


def _named(incidents: list[str]) -> str:
    more = f" and {len(incidents) - _NAMED_MAX:,} more" if len(incidents) > _NAMED_MAX else ""
    return f"incident{'s' if len(incidents) > 1 else ''} {', '.join(incidents[:_NAMED_MAX])}{more}"
