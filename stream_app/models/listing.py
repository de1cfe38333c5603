"""``driftflow models list``: every model of a registry, with what was decided and why."""

from __future__ import annotations

from typing import Any

from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.registry import FINAL, Registry, ordered
from stream_app.terminal import utc

LISTED = ("promoted", "refused")
_YES, _NOT_ASKED = "yes", "–"


def list_models(config: Config) -> list[dict[str, Any]]:
    """Every model notice of the registry, oldest first, each promoted one verified anew. That an earlier model covers a
    request is about no model of its own; of a candidate that is decided only the decision is listed.

    Raises:
        DriftflowError: what the registry holds of decisions or promotions is damaged.
    """
    registry = Registry(ordered(config))
    current, notices = registry.in_service(), registry.notices()
    answered = {notice.request_id for notice in notices if notice.status in FINAL}
    return [
        {
            "model_id": notice.model_id,
            "status": "in service" if notice.status == "promoted" and notice.model_id == current else notice.status,
            "verified": _verified(registry, notice),
            "trained_until": utc(notice.created_ms),
            "train_rows": notice.train_rows,
            "parent_id": notice.parent_id,
            "request_id": notice.request_id,
            "reason": notice.reason,
            "gates": notice.gates,
        }
        for notice in notices
        if notice.status in LISTED or (notice.status not in FINAL and notice.request_id not in answered)
    ]


def check_listed(models: list[dict[str, Any]]) -> None:
    """Raise ModelError where the model in service, of :func:`list_models`, was not accepted."""
    for model in models:
        if model["status"] == "in service" and model["verified"] != _YES:
            raise ModelError(f"the model in service cannot be used: {model['verified'].removeprefix('NO: ')}")


def _verified(registry: Registry, notice: ModelNotice) -> str:
    if notice.status != "promoted":
        return _NOT_ASKED
    try:
        registry.load(notice.model_id)
    except ModelError as error:
        return f"NO: {error}"
    return _YES
