"""Which model is judged, on which rows, and beside which simpler densities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flowlib.copies import units
from flowlib.density import Density
from flowlib.evaluation import gaussian_log_prob
from flowlib.fit_config import FitConfig
from flowlib.table import DAY_MS, Bools, Floats, Table
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.registry import Registry
from stream_app.offline.reading import Reading
from stream_app.trainer.data.admit import thin, unusable
from stream_app.trainer.data.rows import gather
from stream_app.trainer.data.spans import cuts

SEED = 0
_ROWS_MIN = 100
BASELINE_ROWS_MIN = 100
"""Training rows that a simpler model is fitted on at least."""
_BASELINE_ROWS = 20_000
_FOLDS = 5
_EVER_MS = 1 << 62


@dataclass(frozen=True)
class Subject:
    """The model that is judged.

    Attributes:
        density: the model.
        until_ms: event time that its training ended at.
        is_first: whether it was the stream's first.
    """

    density: Density
    until_ms: int
    is_first: bool


@dataclass(frozen=True)
class Chosen:
    """A file's rows and which of them judge.

    Attributes:
        rows: n rows, all of the file.
        judging: ``(n,)`` rows that the model has not seen.
        training: ``(n,)`` rows that may have trained it.
        kind: what the judging rows are, in words.
    """

    rows: Table
    judging: Bools
    training: Bools
    kind: str


def read_subject(config: Config, model: str | None) -> Subject:
    """The model asked for, else the one in service.

    Raises:
        ModelError: there is none, it is not accepted, or nobody knows which events it has seen.
    """
    try:
        registry = Registry(config)
    except ModelError as error:
        raise ModelError(f"{error}; or add --bootstrap-until DATE to train a model on the file's first part") from None
    model_id = model or registry.in_service()
    if not model_id:
        raise ModelError("there is no model yet: add --bootstrap-until DATE to train one on the file's first part")
    notices = [notice for notice in registry.notices() if notice.model_id == model_id]
    if not notices:
        path = config.path(config.trainer.registry) / f"{config.stream}.notices.jsonl"
        raise ModelError(
            f"{path} has no record of model {model_id}, so that it cannot be told which events it has seen: restore "
            "the file from a backup, or evaluate another model"
        )
    return Subject(registry.load(model_id), notices[-1].created_ms, not notices[-1].parent_id)


def choose_rows(reading: Reading, config: Config, subject: Subject) -> Chosen:
    """The file's rows; those that judge are the gate's days of the training, or where they are too few, later ones.

    Raises:
        ModelError: the file has too few events that the model has not seen.
        DriftflowError: the file cannot be read.
    """
    name, rows = reading.name, gather(reading.events(), 0, _EVER_MS).table
    if not len(rows):
        raise ModelError(f"{name} has no events that can be decoded: {reading.dropped.says() or 'it has no rows'}")
    unit, (judging, training) = units(rows), _held_out(config, rows, subject)
    # A copy of a row that trained is not new to the model, whenever it comes.
    judging &= ~np.isin(unit, unit[training])
    kind = "held-out events from its time of training"
    if judging.sum() < _ROWS_MIN:
        later = rows.time_ms >= subject.until_ms
        judging, kind = later & ~np.isin(unit, unit[~later]), "events after its training"
    if judging.sum() < _ROWS_MIN:
        raise ModelError(
            f"{name} has {int(judging.sum())} events that model {subject.density.model_id} has not seen; "
            f"{_ROWS_MIN} are needed{f'; dropped: {reading.dropped.says()}' if reading.dropped.rows else ''}"
        )
    return Chosen(rows, judging, training, kind)


def _held_out(config: Config, rows: Table, subject: Subject) -> tuple[Bools, Bools]:
    """Rows that judged the model at its gates, and rows that may have trained it."""
    before = rows.time_ms < subject.until_ms
    calibrate_from_ms = 0 if subject.is_first else subject.until_ms - config.retrain.calibration
    where = cuts(config, rows.take(before), calibrate_from_ms, 0, subject.until_ms)
    training, _, judging = where.spans(rows)
    return before & judging & (not where.fault), before & (training | bool(where.fault))


def baselines(density: Density, train: Table, judged: Table) -> tuple[dict[str, Floats], dict[str, str]]:
    """Log-likelihoods of the judged rows under one Gaussian and under mixtures of them, one of which is told of time
    and slice what the model is, fitted on the training rows.

    And why one of them could not be fitted.
    """
    if len(train) < BASELINE_ROWS_MIN:
        return {}, {}
    told = density.encoder.config.context
    mixtures = (
        {f"a Gaussian mixture told the {' and the '.join(told)}": simple_model(density, train, told)} if told else {}
    )
    mixtures["a Gaussian mixture"] = simple_model(density, train)
    train = thin(train.take(~unusable(train)), _BASELINE_ROWS)
    fitted, left_out = {}, {}
    try:
        fitted["one Gaussian"] = gaussian_log_prob(density.encoder, train, judged)
    except ValueError as error:
        left_out["one Gaussian"] = str(error)
    return fitted | {name: mixture.score(judged).log_prob for name, mixture in mixtures.items()}, left_out


def simple_model(density: Density, train: Table, context: tuple[str, ...] = ()) -> Density:
    """A mixture of Gaussians over the same columns, fitted on training rows and calibrated on some of them."""
    train = thin(train.take(~unusable(train)), _BASELINE_ROWS)
    stop = train.time_ms // DAY_MS % _FOLDS == 0
    if not stop.any() or stop.all():
        stop = np.arange(len(train)) % _FOLDS == 0
    config = FitConfig("mixture", encoder=replace(density.encoder.config, context=context))
    return Density.fit(density.spec, train.take(~stop), train.take(stop), train.take(stop), SEED, config)
