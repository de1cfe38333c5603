"""What people are told of a candidate: that it is compared, that it waits for them, what was decided. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from flowlib.artifact import Artifact
from schemas.records import ModelNotice
from stream_app.config.types import PromotionName
from stream_app.models.waiting import if_approved, if_rejected
from stream_app.trainer.shadow.state import Candidate

_WHY_MAX = 2_500
"""Characters of why it waits: what follows has to have room too."""


def announced(candidate: Candidate, promotion: PromotionName) -> ModelNotice:
    """That it is in the shadow, or waits for a person, who is told what to say and what follows.

    Args:
        candidate: it.
        promotion: ``trainer.promotion``.
    """
    if candidate.phase != "waiting":
        reason = f"{candidate.notice.reason}; it is compared with {candidate.champion} on live events"
        return _decided(candidate, status="candidate", reason=reason)
    command = f"`driftflow models approve {candidate.model_id}`"
    why = (candidate.why or candidate.notice.reason)[:_WHY_MAX]
    waits = _decided(candidate, status="waiting")
    follows = f"If yes, {if_approved(waits, promotion)}. If no, {if_rejected(waits)}"
    return msgspec.structs.replace(waits, reason=f"{why}; a person has to say: {command}, or reject. {follows}")


def promoted(candidate: Candidate, model: Artifact) -> ModelNotice:
    """That it enters service, as these signed bytes; dated by the newest event that was seen."""
    is_new = model.model_id != candidate.model_id
    calibration = "calibrated on the newest rows" if is_new else "with the calibration that its gates saw"
    approval = f"; approved by {candidate.approved['by']}" if candidate.approved else ""
    return _decided(
        candidate,
        status="promoted",
        model_id=model.model_id,
        created_ms=max(candidate.notice.created_ms, candidate.panes.now_ms or 0),
        reason=f"{candidate.why or candidate.notice.reason}{approval}; {calibration}",
        manifest=model.manifest,
        tensors=model.tensors,
        signature=model.signature,
        key_id=model.key_id,
    )


def refused(candidate: Candidate) -> ModelNotice:
    """That it does not; under its own id, so that nothing on a compacted topic says that it is on its way."""
    return _decided(candidate, status="refused", reason=candidate.why)


def about(candidate: Candidate) -> dict[str, Any]:
    """What a model's manifest and notices say of what came after the gates."""
    return {
        "candidate": candidate.model_id,
        "shadow": candidate.shadow,
        "approved_by": candidate.approved.get("by", ""),
        "approval": candidate.approved,
    }


def _decided(candidate: Candidate, **fields: Any) -> ModelNotice:
    provenance = candidate.notice.provenance | about(candidate)
    return msgspec.structs.replace(candidate.notice, gates=_gates(candidate), provenance=provenance, **fields)


def _gates(candidate: Candidate) -> dict[str, Any]:
    """Its gates, and the shadow as one more, once that has ended."""
    if not candidate.shadow:
        return candidate.notice.gates
    verdict = candidate.shadow["verdict"]
    shadow = {"passed": verdict == "promote", **candidate.shadow, "says": candidate.test.says(verdict)}
    return {**candidate.notice.gates, "shadow": shadow}
