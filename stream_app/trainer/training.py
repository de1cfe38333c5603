"""From a retrain request and its rows to a promoted or refused model. No Kafka here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from flowlib import artifact
from flowlib.artifact import ArtifactError, Ed25519PrivateKey
from flowlib.density import Density
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.fit_config import FitConfig, Learn
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig
from schemas.records import MODEL_BYTES_MAX, RetrainRequest
from stream_app.config import Config
from stream_app.stages.dropped import Dropped
from stream_app.trainer import checkpoint as resuming
from stream_app.trainer import gates, privacy
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.dataset import Split, leave_out, quarantined, split, thin, without_unusable
from stream_app.trainer.ledger import OverBudget
from stream_app.trainer.outcome import Outcome, Retrain

PUBLISHABLE_BYTES = MODEL_BYTES_MAX // 4 * 3 - 64 * 1024
"""Bytes of a model that fit into one message: base64 makes four of three, and the notice has some of its own."""

OnProgress = Callable[[Progress], None]


def answer(
    config: Config,
    request: RetrainRequest,
    rows: Table,
    in_service: Density | None,
    key: Ed25519PrivateKey,
    progress: OnProgress | None = None,
    checkpoint: CheckpointFile | None = None,
    seen_ms: int | None = None,
    dropped: Dropped | None = None,
) -> Outcome:
    """Fit, gate and sign; the same arguments give the same bytes, except where training is private.

    Args:
        config: the stream.
        request: what is asked for.
        rows: the events it names.
        in_service: the model in service, None before the first.
        key: signs the model.
        progress: called now and then in training.
        checkpoint: where to resume an interrupted training from; private ones start over.
        seen_ms: newest event time that was seen, so that no answer is dated in the future.
        dropped: what else the ranges hold that is not among the rows, and why.

    Raises:
        DriftflowError: the privacy ledger is damaged.
    """
    retrain = Retrain(config, request, in_service, seen_ms)
    dropped = dropped if dropped is not None else Dropped()
    arrivals, rows = rows, _admissible(config, rows, in_service, dropped)
    parts = _split(config, request, rows, dropped)
    if _are_too_few(config, parts):
        return retrain.refused(len(rows), _too_few(config, parts, dropped))
    others = None
    if config.privacy.enabled or config.trainer.membership_gate:
        members, others = _leave_out(retrain, parts)
        parts = replace(parts, train=members)
    try:
        candidate = _fit(retrain, parts, progress, checkpoint)
    except OverBudget as error:
        return retrain.refused(len(rows), str(error))
    candidate = _discreet(candidate, config.event.sensitive)
    findings = tuple(finding.says for finding in candidate.encoder.findings)
    figures = _judge(retrain, candidate, parts, others)
    if not gates.passed(figures):
        return retrain.refused(len(rows), gates.summary(figures), figures, findings)
    candidate = candidate.with_reference(
        parts.held_out, int(config.windows.pane), arrivals, rows, request.calibrate_from_ms
    )
    try:
        model = artifact.pack(candidate, key, PUBLISHABLE_BYTES)
    except ArtifactError as error:
        return retrain.refused(len(rows), str(error), figures, findings)
    return retrain.promoted(model, len(parts.train), figures, findings)


def _discreet(candidate: Density, sensitive: Collection[str]) -> Density:
    """The model without sentences that may have values of sensitive columns, such as of one that is constant."""
    findings = tuple(
        replace(finding, says=f"{' and '.join(finding.columns)}: {finding.kind}")
        if not set(finding.columns).isdisjoint(sensitive)
        else finding
        for finding in candidate.encoder.findings
    )
    if findings == candidate.encoder.findings:
        return candidate
    return replace(candidate, encoder=replace(candidate.encoder, findings=findings))


def _admissible(config: Config, rows: Table, in_service: Density | None, dropped: Dropped) -> Table:
    """Rows that may train; the others are counted.

    Privately, whether a row is among them must not depend on the others: no quarantine of weeks, no even thinning (the
    steps of private training are few whatever the rows).
    """
    n = len(rows)
    rows = without_unusable(rows)
    dropped.add("unscorable", "", "every numeric field is missing, or one is infinite", n - len(rows))
    if config.privacy.enabled:
        return rows
    if in_service is not None and len(rows):
        strange = quarantined(rows, in_service, config)
        dropped.add("quarantined", "", "anomalies must not train", int(strange.sum()))
        rows = rows.take(~strange)
    return thin(rows, config.model.max_rows)


def _split(config: Config, request: RetrainRequest, rows: Table, dropped: Dropped) -> Split:
    """The split of the rows; copies that it leaves out are counted. Privately they are rows like any."""
    parts = split(rows, request.calibrate_from_ms, together=not config.privacy.enabled)
    kept = len(parts.train) + len(parts.validation) + len(parts.calibration) + len(parts.gate)
    if kept < len(rows):
        dropped.add("repeated", "", "copies of other rows in every column", len(rows) - kept)
    return parts


def _leave_out(retrain: Retrain, parts: Split) -> tuple[Table, Table]:
    return leave_out(parts.train, retrain.seed, together=not retrain.config.privacy.enabled)


def _are_too_few(config: Config, parts: Split) -> bool:
    held_out = min(len(parts.validation), len(parts.calibration), len(parts.gate))
    return min(len(parts.train), held_out * 10) < config.trainer.min_rows


def _too_few(config: Config, parts: Split, dropped: Dropped) -> str:
    names = ("train", "validation", "calibration", "gate")
    sizes = ", ".join(f"{name} {len(getattr(parts, name))}" for name in names)
    least = config.trainer.min_rows
    went = f"; not among them: {dropped.says()}" if dropped.rows else ""
    return f"too few rows ({sizes}): trainer.min_rows is {least}, and a tenth of it for each held-out part{went}"


def _fit(retrain: Retrain, parts: Split, progress: OnProgress | None, checkpoint: CheckpointFile | None) -> Density:
    """Fit on the split: warm where there is a model in service, from scratch otherwise."""
    config, start = retrain.config, retrain.in_service
    manifest: dict[str, Any] = {
        "stream": config.stream,
        "slicings": config.event.slicings,
        "request": retrain.request.id,
    }
    learn: Learn
    if config.privacy.enabled:
        rows = len(parts.train) + len(parts.validation)
        plan, manifest["privacy"] = privacy.admit(config, retrain.request.id, rows, start)
        learn = privacy.learner(plan, progress)
        if start is not None and "privacy" not in start.manifest:
            start = None  # weights that were trained without privacy would carry their rows into this model
    else:
        learn = resuming.learner(_settings(config, start), progress, checkpoint)
    told, zone = tuple(config.model.context), config.event.timezone
    encoder = EncoderConfig(context=told, embedding=config.model.embedding, zone=zone)
    return Density.fit(
        FeatureSpec(tuple(config.event.numeric), tuple(config.event.categorical)),
        parts.train,
        valid=parts.validation,
        calibration=parts.calibration,
        seed=retrain.seed,
        config=FitConfig(config.model.flow, learn, encoder, config.model.distance),
        warm_start=start,
        manifest=manifest,
    )


def _settings(config: Config, in_service: Density | None) -> TrainConfig:
    if in_service is not None:
        settings = TrainConfig.warm(max_steps=config.model.warm_steps)
    else:
        settings = TrainConfig(max_steps=config.model.max_steps)
    return replace(settings, contamination=config.model.contamination, noise=config.model.noise)


def _judge(retrain: Retrain, candidate: Density, parts: Split, others: Table | None) -> dict[str, Any]:
    """The figures of all gates; ``others`` are training rows that were held back for the membership attack."""
    settings = retrain.config.trainer
    figures = gates.judge(candidate, retrain.in_service, parts.gate, settings)
    if others is not None:
        _, members = _leave_out(retrain, parts)
        figures["membership"] = gates.membership(candidate, members, others, settings)
    return figures
