"""The model that a dossier is about, with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.incidents import Incident, StrangeEvents
from schemas.records import ModelNotice
from stream_app.audit.records import Records, Under, gather
from stream_app.audit.steps import Step, changes
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.incident_lines import bounded
from stream_app.models.history import in_service
from stream_app.models.registry import Registry
from stream_app.operators.reading import chosen
from stream_app.terminal import utc

_MODELS = "`driftflow models list` lists them"


@dataclass(frozen=True)
class Subject:
    """A model.

    Attributes:
        config: the stream.
        records: of it.
        id: of the model.
        notices: about it and the request that it answers, oldest first.
        notice: the newest about the model itself.
        manifest: signed with the model; empty where its file is not here.
        verified: whether its signature was verified, in a sentence.
    """

    config: Config
    records: Records
    id: str
    notices: list[ModelNotice]
    notice: ModelNotice
    manifest: dict[str, Any]
    verified: str

    @property
    def about(self) -> dict[str, Any]:
        """Where it comes from."""
        return self.notice.provenance

    @property
    def under(self) -> Under:
        """What was said under it."""
        return self.records.under.get(self.id, Under())

    @property
    def incidents(self) -> list[Incident]:
        """Found under it, oldest first."""
        found = [one for one in self.records.incidents.values() if one.model_id == self.id]
        return sorted(found, key=lambda one: (one.opened_pane_ms, one.id))

    @property
    def strange(self) -> list[StrangeEvents]:
        """Messages about single events under it."""
        return [one for one in self.records.strange.values() if one.model_id == self.id]

    @property
    def changes(self) -> list[Step]:
        """What has changed the model in service, as far as it is about this one."""
        steps = [step for step in changes(self.records) if self.id in (step.facts["model"], step.facts["returns_to"])]
        return sorted(steps, key=lambda step: step.at_ms)

    @property
    def is_in_service(self) -> bool:
        """Whether it is now, as the registry has it."""
        return in_service(self.records.history) == self.id

    @property
    def status(self) -> str:
        """In a few words."""
        if self.is_in_service:
            return "in service"
        if any(step.facts["verb"] == "rollback" and step.facts["model"] == self.id for step in self.changes):
            return "rolled back"
        words = {
            "promoted": "was in service",
            "waiting": "waits for a person",
            "candidate": "candidate, never in service",
        }
        return words.get(self.notice.status, self.notice.status)


def find(config: Config, prefix: str) -> Subject:
    """A model by the first characters of its id.

    Raises:
        DriftflowError: it is none or several; or the registry or the audit log is damaged.
    """
    records = gather(config)
    known = {one.model_id: one for one in records.notices if one.status in ("promoted", "candidate", "waiting")}
    notice = chosen(known, prefix, "model", lambda one: f"{utc(one.created_ms)}  {bounded(one.reason)}", _MODELS)
    notices = [one for one in records.notices if notice.model_id == one.model_id or one.request_id == notice.request_id]
    manifest, verified = _read(config, notice.model_id)
    return Subject(config, records, notice.model_id, notices, notice, manifest, verified)


def _read(config: Config, model_id: str) -> tuple[dict[str, Any], str]:
    if not config.path(config.trainer.registry).is_dir():
        return {}, "not looked at: there is no registry here"
    registry = Registry(config)
    try:
        manifest: dict[str, Any] = msgspec.json.decode(registry.read(model_id).manifest)
        registry.check(model_id)
    except ModelError as error:
        return {}, f"NO: {error}"
    return manifest, "yes: its bytes are those that a trusted key has signed"
