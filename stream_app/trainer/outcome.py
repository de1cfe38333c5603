"""What comes of a request: a model that passes or waits, a refusal or an earlier model, and the notice of it that is
published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flowlib.artifact import Artifact
from flowlib.density import Density
from schemas.records import ModelNotice, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.trainer.data.sheet import DataSheet
from stream_app.trainer.gates.gate import Gate, Verdict, figures, summary, verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request.

    Attributes:
        notice: to publish.
        model: signed bytes of a model that has passed its gates, or that waits for a person; None where there is none.
        findings: sentences about peculiar columns, for the person who watches.
        verdict: of the gates; ``refuse`` too where it did not come as far as them.
        sheet: what is to be said of the rows, None where it did not come as far as that.
    """

    notice: ModelNotice
    model: Artifact | None
    findings: tuple[str, ...] = ()
    verdict: Verdict = "refuse"
    sheet: DataSheet | None = None

    def coming_from(self, provenance: dict[str, Any]) -> Outcome:
        """The same, with where the model comes from."""
        return replace(self, notice=msgspec.structs.replace(self.notice, provenance=provenance))


@dataclass(frozen=True, slots=True)
class Retrain:
    """A request that is being answered.

    Attributes:
        config: the stream.
        request: what is asked for.
        in_service: the model in service, None before the first.
        seen_ms: newest event time that was seen: no notice is dated later, whatever the request says. None is not
            known.
    """

    config: Config
    request: RetrainRequest
    in_service: Density | None = None
    seen_ms: int | None = None

    @property
    def seed(self) -> int:
        """From what is asked for, less the names: asked again, or under another topic name, the model is the same."""
        request = self.request
        ranges = [(r.partition, r.start, r.end, r.start_ms, r.end_ms) for r in request.train]
        text = record_id("seed", self.config.model.seed, request.reason, request.requested_pane_ms, ranges)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") & 0x7FFFFFFF

    @property
    def dated_ms(self) -> int:
        """Event time of the answer."""
        asked_ms = self.request.requested_pane_ms
        return asked_ms if self.seen_ms is None else min(asked_ms, self.seen_ms)

    def judged(self, model: Artifact, train_rows: int, found: Sequence[Gate], findings: tuple[str, ...]) -> Outcome:
        """A model that its gates have not refused: promoted where all have passed, else it waits for a person."""
        said = verdict(found)
        notice = ModelNotice(
            model_id=model.model_id,
            stream=self.config.stream,
            status="promoted" if said == "pass" else "waiting",
            parent_id=self._parent_id,
            request_id=self.request.id,
            created_ms=self.dated_ms,
            train_rows=train_rows,
            gates=figures(found),
            reason=summary(found),
            manifest=model.manifest,
            tensors=model.tensors,
            signature=model.signature,
            key_id=model.key_id,
        )
        return Outcome(notice, model, findings, said)

    def refused(self, rows: int, reason: str, found: Sequence[Gate] = (), findings: tuple[str, ...] = ()) -> Outcome:
        """No model, with the reason, and with the figures of the gates where it came as far as them."""
        return Outcome(self._without_model("refused", rows, reason, found), None, findings)

    def covered(self, model_id: str, request_id: str) -> Outcome:
        """No model is needed: an earlier one, trained for another request, answers this one too."""
        return self.covered_by(f"covered by {model_id} (request {request_id})")

    def covered_by(self, says: str) -> Outcome:
        """No model is needed, for a reason in a sentence."""
        return Outcome(self._without_model("covered", 0, says), None)

    def _without_model(self, status: str, rows: int, reason: str, found: Sequence[Gate] = ()) -> ModelNotice:
        return ModelNotice(
            model_id=f"{status}-" + record_id(status, self.request.id)[:8],
            stream=self.config.stream,
            status=status,
            parent_id=self._parent_id,
            request_id=self.request.id,
            created_ms=self.dated_ms,
            train_rows=rows,
            gates=figures(found),
            reason=reason,
        )

    @property
    def _parent_id(self) -> str:
        return self.in_service.model_id if self.in_service else ""
