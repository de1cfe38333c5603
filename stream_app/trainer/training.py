"""From a retrain request and its rows to a promoted or refused model. No Kafka here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flowlib import artifact
from flowlib.artifact import Artifact, ArtifactError
from flowlib.density import Density
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.fit_config import FitConfig
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig
from schemas.records import ModelNotice, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.kafka.topics import MODEL_BYTES_MAX
from stream_app.trainer import checkpoint as resuming
from stream_app.trainer import gates
from stream_app.trainer import privacy as private
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.dataset import Split, leave_out, quarantined, split, thin, without_unusable
from stream_app.trainer.ledger import OverBudget

BYTES_MAX = MODEL_BYTES_MAX // 4 * 3 - 64 * 1024
"""Bytes of a model that fit into one message: base64 makes four of three, and the notice has some of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request.

    Attributes:
        notice: to publish.
        made: a promoted model's signed bytes.
        findings: sentences about peculiar columns, for the person who watches.
    """

    notice: ModelNotice
    made: Artifact | None
    findings: tuple[str, ...] = ()


def answer(
    config: Config,
    request: RetrainRequest,
    rows: Table,
    in_service: Density | None,
    key: artifact.Ed25519PrivateKey,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: CheckpointFile | None = None,
) -> Outcome:
    """Fit, gate and sign. The same request, rows and model in service give the same bytes, except where training is private.

    Args:
        config: the stream.
        request: what is asked for.
        rows: the events it names.
        in_service: the model in service, None before the first.
        key: signs the model.
        progress: called now and then in training.
        checkpoint: where to resume an interrupted training from; private ones start over.

    Raises:
        DriftflowError: the privacy ledger is damaged.
    """
    rows = _admissible(config, rows, in_service)
    parts, seed = split(rows, request.calibrate_from_ms), _seed(config, request)
    least = min(len(parts.train), len(parts.calibration) * 10, len(parts.gate) * 10, len(parts.validation) * 10)
    if least < config.trainer.min_rows:
        return Outcome(_refused(config, request, rows, in_service, {}, _too_few(config, parts)), None)
    others = None
    if config.privacy.enabled or config.trainer.membership_gate:
        left, others = leave_out(parts.train, seed)
        parts = replace(parts, train=left)
    try:
        candidate = _fit(config, request, parts, in_service, seed, progress, checkpoint)
    except OverBudget as error:
        return Outcome(_refused(config, request, rows, in_service, {}, str(error)), None)
    findings = tuple(finding.says for finding in candidate.encoder.findings)
    figures = gates.judge(candidate, in_service, parts.gate, config.trainer)
    if others is not None:
        _, members = leave_out(parts.train, seed)
        figures["membership"] = gates.membership(candidate, members, others, config.trainer)
    if not gates.passed(figures):
        return Outcome(_refused(config, request, rows, in_service, figures, gates.explain(figures)), None, findings)
    try:
        made = artifact.pack(candidate, key, BYTES_MAX)
    except ArtifactError as error:
        return Outcome(_refused(config, request, rows, in_service, figures, str(error)), None, findings)
    return _promoted(config, request, len(parts.train), in_service, figures, made, findings)


def _admissible(config: Config, rows: Table, in_service: Density | None) -> Table:
    """Rows that may train. Privately, whether a row is among them must not depend on the others: no quarantine of weeks,
    no even thinning (the steps of private training are few whatever the rows)."""
    rows = without_unusable(rows)
    if config.privacy.enabled:
        return rows
    if in_service is not None and len(rows):
        rows = rows.take(~quarantined(rows, in_service, config))
    return thin(rows, config.model.max_rows)


def _fit(
    config: Config,
    request: RetrainRequest,
    parts: Split,
    in_service: Density | None,
    seed: int,
    progress: Callable[[Progress], None] | None,
    checkpoint: CheckpointFile | None,
) -> Density:
    """Fit on the split: warm where there is a model in service, from scratch otherwise."""
    spec = FeatureSpec(tuple(config.event.numeric), tuple(config.event.categorical))
    manifest: dict[str, Any] = {"stream": config.stream, "request": request.id}
    if config.privacy.enabled:
        plan, manifest["privacy"] = private.admit(
            config, request.id, len(parts.train) + len(parts.validation), in_service
        )
        learn = private.learner(plan, progress)
        if in_service is not None and "privacy" not in in_service.manifest:
            in_service = None  # weights that were trained without privacy would carry their rows into this model
    else:
        learn = resuming.learner(_settings(config, in_service), progress, checkpoint)
    encoder = EncoderConfig(context=tuple(config.model.context), embedding=config.model.embedding)
    return Density.fit(
        spec,
        parts.train,
        valid=parts.validation,
        calibration=parts.calibration,
        seed=seed,
        config=FitConfig(config.model.flow, learn, encoder, config.model.distance),
        warm_start=in_service,
        manifest=manifest,
    )


def _settings(config: Config, in_service: Density | None) -> TrainConfig:
    if in_service is not None:
        settings = TrainConfig.warm(max_steps=config.model.warm_steps)
    else:
        settings = TrainConfig(max_steps=config.model.max_steps)
    return replace(settings, contamination=config.model.contamination, noise=config.model.noise)


def _seed(config: Config, request: RetrainRequest) -> int:
    """From what is asked for, names left out: answering again, or under another topic name, gives the same model."""
    ranges = [(r.partition, r.start, r.end, r.start_ms, r.end_ms) for r in request.train]
    text = record_id("seed", config.model.seed, request.reason, request.requested_pane_ms, ranges)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") & 0x7FFFFFFF


def _too_few(config: Config, parts: Split) -> str:
    names = ("train", "validation", "calibration", "gate")
    sizes = ", ".join(f"{name} {len(getattr(parts, name))}" for name in names)
    least = config.trainer.min_rows
    return f"too few rows ({sizes}): trainer.min_rows is {least}, and a tenth of it for each held-out part"


def _promoted(
    config: Config,
    request: RetrainRequest,
    train_rows: int,
    in_service: Density | None,
    figures: dict[str, Any],
    made: Artifact,
    findings: tuple[str, ...],
) -> Outcome:
    notice = ModelNotice(
        model_id=made.model_id,
        stream=config.stream,
        status="promoted",
        parent_id=in_service.model_id if in_service else "",
        request_id=request.id,
        created_ms=request.requested_pane_ms,
        train_rows=train_rows,
        gates=figures,
        reason=gates.explain(figures),
        manifest=made.manifest,
        tensors=made.tensors,
        signature=made.signature,
        key_id=made.key_id,
    )
    return Outcome(notice, made, findings)


def _refused(
    config: Config,
    request: RetrainRequest,
    rows: Table,
    in_service: Density | None,
    figures: dict[str, Any],
    reason: str,
) -> ModelNotice:
    return ModelNotice(
        model_id="refused-" + record_id("refused", request.id)[:8],
        stream=config.stream,
        status="refused",
        parent_id=in_service.model_id if in_service else "",
        request_id=request.id,
        created_ms=request.requested_pane_ms,
        train_rows=len(rows),
        gates=figures,
        reason=reason,
    )
