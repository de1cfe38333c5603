"""From a retrain request and its rows to a model that passes its gates, waits for a person, or is refused. No Kafka."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flowlib import artifact
from flowlib.artifact import ArtifactError, Ed25519PrivateKey
from flowlib.density import Density
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.fit_config import FitConfig, Learn
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig
from flowlib.warm_start import goes_on
from schemas.records import MODEL_BYTES_MAX, RetrainRequest
from stream_app.config import Config
from stream_app.setup.rejected import of_dropped
from stream_app.trainer import checkpoint as resuming
from stream_app.trainer import privacy
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.data.admit import Prepared, leave_out, prepare, within
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.sheet import make_sheet
from stream_app.trainer.data.spans import Folds, Split, fold_secret
from stream_app.trainer.gates.fitness import data
from stream_app.trainer.gates.gate import Gate, figures, summary, verdict
from stream_app.trainer.gates.running import run_gates
from stream_app.trainer.gates.trial import Trial
from stream_app.trainer.ledger import OverBudget
from stream_app.trainer.outcome import Outcome, Retrain
from stream_app.trainer.provenance import provenance
from stream_app.trainer.recalibrating import recalibrated

PUBLISHABLE_BYTES = MODEL_BYTES_MAX // 4 * 3 - 64 * 1024
"""Bytes of a model that fit into one message: base64 makes four of three, and the notice has some of its own."""

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Known:
    """What a candidate is held to beside the model in service.

    Attributes:
        anchor: the model that none may leave far behind without a person; None for none.
        bursts: id of each incident that nobody has judged to its rows.
        canaries: id of each incident that people have confirmed to its rows.
    """

    anchor: Density | None = None
    bursts: Mapping[str, Table] = field(default_factory=dict)
    canaries: Mapping[str, Table] = field(default_factory=dict)


def answer(
    config: Config,
    request: RetrainRequest,
    rows: Rows,
    in_service: Density | None,
    key: Ed25519PrivateKey,
    progress: OnProgress | None = None,
    checkpoint: CheckpointFile | None = None,
    seen_ms: int | None = None,
    known: Known | None = None,
) -> Outcome:
    """Fit, judge and sign; the same arguments give the same bytes, except where training is private.

    Args:
        config: the stream.
        request: what is asked for.
        rows: the events it names.
        in_service: the model in service, None before the first.
        key: signs the model, and draws which blocks of time say when training stops.
        progress: called now and then in training.
        checkpoint: where to resume an interrupted training from; private ones start over.
        seen_ms: newest event time that was seen, so that no answer is dated in the future.
        known: what else the candidate is held to.

    Raises:
        DriftflowError: the privacy ledger is damaged.
    """
    retrain = Retrain(config, request, in_service, seen_ms)
    prepared = prepare(config, request, rows, in_service, Folds(fold_secret(config, key), str(retrain.seed)))
    if fault := prepared.fault or _too_few(config, prepared.split):
        if said := of_dropped(rows.rejected, len(rows), config.event):
            return retrain.refused(len(prepared.known), f"{said}; so there are {fault}")
        went = f"; not among them: {rows.rejected.says()}" if rows.rejected.rows else ""
        return retrain.refused(len(prepared.known), fault + went)
    sheet = make_sheet(prepared.split, rows, in_service, config, request.accepted)
    if sheet.severe:
        grave = data([finding.says for finding in sheet.severe])
        return replace(retrain.refused(len(prepared.known), summary([grave]), [grave]), sheet=sheet)
    about = provenance(retrain, rows, prepared, sheet, (known.anchor.model_id if known and known.anchor else ""))
    others = None
    if config.privacy.enabled or config.trainer.membership_gate:
        members, others = _leave_out(retrain, prepared.split)
        prepared = replace(prepared, split=replace(prepared.split, train=members))
    try:
        candidate = _fit(retrain, prepared.split, progress, checkpoint)
    except OverBudget as error:
        return retrain.refused(len(prepared.known), str(error)).coming_from(about)
    trial, found = _judge(retrain, candidate, prepared, others, known or Known())
    return replace(_signed(retrain, trial, found, prepared, rows.table, about, key), sheet=sheet)


def _judge(
    retrain: Retrain, candidate: Density, prepared: Prepared, others: Table | None, known: Known
) -> tuple[Trial, list[Gate]]:
    """The gates of a candidate, or of the champion with another calibration where that is all that is needed.

    Args:
        retrain: the request.
        candidate: newly trained.
        prepared: the rows.
        others: training rows that were held back for the membership attack, None where it is not asked for.
        known: what else the candidate is held to.
    """
    config, parts = retrain.config, prepared.split
    trial = Trial(
        candidate,
        retrain.in_service,
        parts.gate,
        parts.blocks.of(parts.gate),
        config.trainer,
        config.event_rule.alpha,
        known.anchor,
        {**prepared.bursts, **known.bursts},
        known.canaries,
        members=None if others is None else _leave_out(retrain, parts)[1],
        others=others,
        seed=retrain.seed,
        calibration=(parts.calibration, parts.blocks.of(parts.calibration)),
        settled=within(parts.gate, retrain.request.accepted, config),
    )
    found = run_gates(trial)
    is_better = all(gate.passed for gate in found if gate.name == "likelihood")
    if not is_better and not config.privacy.enabled:  # the ledger knows a private model by the request that trained it
        mended = recalibrated(trial, parts.calibration)
        if mended is not None:
            return mended, run_gates(mended)
    return trial, found


def _signed(
    retrain: Retrain,
    trial: Trial,
    found: list[Gate],
    prepared: Prepared,
    arrivals: Table,
    about: dict[str, Any],
    key: Ed25519PrivateKey,
) -> Outcome:
    """The outcome of the gates: a model is signed where it passes or waits, with what is normal in panes beside it."""
    config, candidate, rows = retrain.config, trial.candidate, len(prepared.known)
    about = {**about, "gates": figures(found)}
    candidate = _discreet(candidate, config.event.sensitive, config.privacy.enabled)
    findings = tuple(finding.says for finding in candidate.encoder.findings)
    if verdict(found) == "refuse":
        return retrain.refused(rows, summary(found), found, findings).coming_from(about)
    candidate = replace(candidate, manifest={**candidate.manifest, "provenance": about})
    ordinary = prepared.ordinary(first=retrain.in_service is None)
    candidate = candidate.with_reference(
        ordinary, int(config.windows.pane), arrivals, prepared.known, retrain.request.calibrate_from_ms
    )
    try:
        model = artifact.pack(candidate, key, PUBLISHABLE_BYTES)
    except ArtifactError as error:
        found = [*found, Gate("size", False, str(error), threshold=float(PUBLISHABLE_BYTES))]
        return retrain.refused(rows, str(error), found, findings).coming_from(about)
    trained = 0 if trial.is_recalibrated else len(prepared.split.train)
    return retrain.judged(model, trained, found, findings).coming_from(about)


def _discreet(candidate: Density, sensitive: Collection[str], private: bool) -> Density:
    """The model without sentences that may have values of sensitive columns, such as of one that is constant, and
    without the values that several events had there; where training was private, without those of any column.
    """
    if not (sensitive or private):
        return candidate
    findings = tuple(
        replace(finding, says=f"{' and '.join(finding.columns)}: {finding.kind}")
        if not set(finding.columns).isdisjoint(sensitive)
        else finding
        for finding in candidate.encoder.findings
    )
    encoder = candidate.encoder
    columns = np.flatnonzero([private or name in sensitive for name in encoder.spec.numeric])
    grids = replace(encoder.grids, seen=encoder.grids.seen.without(columns))
    return replace(candidate, encoder=replace(encoder, findings=findings, grids=grids))


def _leave_out(retrain: Retrain, parts: Split) -> tuple[Table, Table]:
    return leave_out(parts.train, retrain.seed, together=not retrain.config.privacy.enabled)


def _too_few(config: Config, parts: Split) -> str:
    """Why there are too few rows, or ""."""
    least = config.trainer.min_rows
    held_out = min(len(parts.validation), len(parts.calibration), len(parts.gate))
    if min(len(parts.train), held_out * 10) >= least:
        return ""
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.parts().items())
    return f"too few rows ({sizes}): trainer.min_rows is {least}, and a tenth of it for each held-out part"


def _fit(retrain: Retrain, parts: Split, progress: OnProgress | None, checkpoint: CheckpointFile | None) -> Density:
    """Fit on the split: warm where there is a model in service, from scratch otherwise."""
    config, start = retrain.config, retrain.in_service
    manifest: dict[str, Any] = {
        "stream": config.stream,
        "slicings": config.event.slicings,
        "request": retrain.request.id,
    }
    spec = FeatureSpec(tuple(config.event.numeric), tuple(config.event.categorical))
    told, zone = tuple(config.model.context), config.event.timezone
    encoder = EncoderConfig(tuple(config.model.maps), told, config.model.embedding, zone=zone)
    if start is not None and not goes_on(start.encoder, spec, parts.train, encoder):
        start = None  # a new flow takes as many steps as a first one
    learn: Learn
    if config.privacy.enabled:
        rows = len(parts.train) + len(parts.validation)
        plan, manifest["privacy"] = privacy.admit(config, retrain.request.id, rows, start)
        learn = privacy.learner(plan, progress)
        if start is not None and "privacy" not in start.manifest:
            start = None  # weights that were trained without privacy would carry their rows into this model
    else:
        learn = resuming.learner(_settings(config, start), progress, checkpoint)
    return Density.fit(
        spec,
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
