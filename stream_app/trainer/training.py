"""From a retrain request and its rows to a promoted or refused model. No Kafka here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowlib import artifact
from flowlib.artifact import Artifact
from flowlib.density import Density
from flowlib.encoding import EncoderConfig, FeatureSpec
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig
from schemas.records import ModelNotice, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.trainer import gates
from stream_app.trainer.dataset import Split, quarantined, split, thin, without_unusable


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
) -> Outcome:
    """Fit, gate and sign. The same request, rows and model in service give the same bytes."""
    rows = without_unusable(rows)
    if in_service is not None and len(rows):
        rows = rows.take(~quarantined(rows, in_service, config))
    parts = split(thin(rows, config.model.max_rows), request.calibrate_from_ms)
    least = min(len(parts.train), len(parts.calibration) * 10, len(parts.gate) * 10, len(parts.validation) * 10)
    if least < config.trainer.min_rows:
        return Outcome(_refused(config, request, rows, in_service, {}, _too_few(config, parts)), None)
    candidate = _fit(config, request, parts, in_service, progress)
    findings = tuple(finding.says for finding in candidate.encoder.findings)
    figures = gates.judge(candidate, in_service, parts.gate, config.trainer)
    if not gates.passed(figures):
        return Outcome(_refused(config, request, rows, in_service, figures, gates.explain(figures)), None, findings)
    made = artifact.pack(candidate, key)
    notice = ModelNotice(
        model_id=made.model_id, stream=config.stream, status="promoted",
        parent_id=in_service.model_id if in_service else "", request_id=request.id, created_ms=request.requested_pane_ms,
        train_rows=len(parts.train), gates=figures, reason=gates.explain(figures), manifest=made.manifest,
        tensors=made.tensors, signature=made.signature, key_id=made.key_id,
    )  # fmt: skip
    return Outcome(notice, made, findings)


def _fit(
    config: Config, request: RetrainRequest, parts: Split, in_service: Density | None,
    progress: Callable[[Progress], None] | None,
) -> Density:  # fmt: skip
    """Fit on the split: warm where there is a model in service, from scratch otherwise."""
    spec = FeatureSpec(tuple(config.event.numeric), tuple(config.event.categorical))
    seed = _seed(config, request)
    settings = TrainConfig(max_steps=config.model.max_steps)
    if in_service is not None:
        settings = TrainConfig.warm(max_steps=config.model.warm_steps)
    return Density.fit(
        spec,
        parts.train,
        valid=parts.validation,
        calibration=parts.calibration,
        seed=seed,
        config=settings,
        progress=progress,
        warm_start=in_service,
        manifest={"stream": config.stream, "request": request.id},
        flow_name=config.model.flow,
        encoder_config=EncoderConfig(context=tuple(config.model.context), embedding=config.model.embedding),
    )


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


def _refused(
    config: Config, request: RetrainRequest, rows: Table, in_service: Density | None, figures: dict[str, Any], reason: str
) -> ModelNotice:  # fmt: skip
    return ModelNotice(
        model_id="refused-" + record_id("refused", request.id)[:8], stream=config.stream, status="refused",
        parent_id=in_service.model_id if in_service else "", request_id=request.id, created_ms=request.requested_pane_ms,
        train_rows=len(rows), gates=figures, reason=reason,
    )  # fmt: skip
