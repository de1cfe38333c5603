"""From a file and a model to a report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA, Evaluation, evaluate, gaussian_log_prob, mean, share
from flowlib.table import Bools, Floats, Table
from stream_app.config import Config
from stream_app.disk import check_writable, writing
from stream_app.errors import ModelError
from stream_app.event_files import read_rows
from stream_app.models.registry import Registry
from stream_app.offline.evaluate.page import About, Month, page
from stream_app.offline.replay import batches
from stream_app.offline.score import bootstrap
from stream_app.stages.score.decoding import Decoder
from stream_app.terminal import prepare_process
from stream_app.trainer import dataset

SEED = 0
_ROWS_MIN = 100
_BASELINE_ROWS = 20_000
_PAIRS, _SLICES = 8, 24
_EVER_MS = 1 << 62


def run_evaluate(
    config: Config,
    file: Path,
    out: Path,
    err: Console,
    png: Path | None = None,
    model: str | None = None,
    bootstrap_until: str | None = None,
) -> Evaluation:
    """Write the report on a model over a file's events; see the command's help.

    Raises:
        ModelError: there is no model, or the file has no events that it has not seen.
        DriftflowError: the report cannot be written there.
    """
    from stream_app.offline.evaluate import plots  # noqa: F401 - says at once, and not after minutes, that matplotlib is missing

    check_writable(out)
    if png is not None:
        with writing(png):
            png.mkdir(parents=True, exist_ok=True)
    prepare_process()
    if bootstrap_until:
        bootstrap(config, file, bootstrap_until, err)
    density, until_ms, first = _model(config, model)
    rows = dataset.gather(
        (Decoder(config).decode(raw)[0] for raw in batches(config, read_rows(file, config))), 0, _EVER_MS
    )
    if not len(rows):
        raise ModelError(f"{file} has no events that can be decoded")
    held, trained = _held_out(config, rows, until_ms, first)
    known = "held-out events from its time of training"
    if held.sum() < _ROWS_MIN:
        held, known = rows.time_ms >= until_ms, "events after its training"
    if held.sum() < _ROWS_MIN:
        raise ModelError(
            f"{file} has {int(held.sum())} events that model {density.model_id} has not seen; {_ROWS_MIN} are needed"
        )
    judged = rows.take(held)
    err.print(f"evaluating {density.model_id} on {len(judged):,} {known}")
    days = judged.time_ms // dataset.DAY_MS
    found = evaluate(density, judged, days, SEED, *_baselines(density, rows.take(trained), judged))
    about = About(config.stream, density.model_id, known, _span(judged), density.spec.numeric)
    months = _months(density, rows, held, until_ms)
    drawn = _plots(density, judged, found, months, png)
    with writing(out):
        out.write_text(page(about, found, months, drawn), encoding="utf-8")
    return found


def _model(config: Config, model: str | None) -> tuple[Density, int, bool]:
    """The model, the event time that its training ends at, and whether it was the stream's first."""
    try:
        registry = Registry(config)
    except ModelError as error:
        raise ModelError(f"{error}; or add --bootstrap-until DATE to train a model on the file's first part") from None
    history = registry.history()
    if model is None and not history:
        raise ModelError("there is no model yet: add --bootstrap-until DATE to train one on the file's first part")
    chosen = model or history[-1].model_id
    made = [notice for notice in registry.notices() if notice.model_id == chosen]
    if not made:
        raise ModelError(f"the registry has no record of model {chosen}: it cannot be told which events it has seen")
    return replace(registry.load(chosen), model_id=chosen), made[-1].created_ms, not made[-1].parent_id


def _held_out(config: Config, rows: Table, until_ms: int, first: bool) -> tuple[Bools, Bools]:
    """Rows of the days that judged the model at its gates, and rows that may have trained it."""
    before = rows.time_ms < until_ms
    fold = rows.time_ms // dataset.DAY_MS % dataset.FOLDS
    newest = before & (first | (rows.time_ms >= until_ms - config.retrain.calibration))
    gate, calibration = newest & (fold == dataset.GATE), newest & (fold == dataset.CALIBRATION)
    return gate, before & ~gate & ~calibration


def _baselines(density: Density, train: Table, judged: Table) -> tuple[dict[str, Floats], dict[str, str]]:
    """Log-likelihoods of the judged rows under one Gaussian and under a mixture of them, fitted on the training rows.

    And why one of them could not be fitted.
    """
    if len(train) < _ROWS_MIN:
        return {}, {}
    train = dataset.thin(dataset.without_unusable(train), _BASELINE_ROWS)
    stop = train.time_ms // dataset.DAY_MS % dataset.FOLDS == dataset.VALIDATION
    if not stop.any() or stop.all():
        stop = np.arange(len(train)) % dataset.FOLDS == 0
    mixture = Density.fit(
        density.spec,
        train.take(~stop),
        train.take(stop),
        train.take(stop),
        SEED,
        flow_name="mixture",
        encoder_config=replace(density.encoder.config, context=()),
    )
    fitted, left_out = {}, {}
    try:
        fitted["one Gaussian"] = gaussian_log_prob(density.encoder, train, judged)
    except ValueError as error:
        left_out["one Gaussian"] = str(error)
    return fitted | {"a Gaussian mixture": mixture.score(judged).log_prob}, left_out


def _months(density: Density, rows: Table, held: Bools, until_ms: int) -> list[Month]:
    """Months in order; of those before the end of training, the held-out rows only."""
    shown = rows.take(held | (rows.time_ms >= until_ms))
    scores = density.score(shown)
    shown, scored = shown.take(scores.scorable), density.score(shown.take(scores.scorable))
    before = shown.time_ms < until_ms
    stamps = np.array([_utc(int(at)).strftime("%Y-%m") for at in shown.time_ms // dataset.DAY_MS * dataset.DAY_MS])
    made = []
    for name, trained in sorted(
        {*zip(stamps.tolist(), before.tolist(), strict=True)}, key=lambda key: (key[0], not key[1])
    ):
        here = (stamps == name) & (before == trained)
        days = shown.time_ms[here] // dataset.DAY_MS
        alarms = share(scored.p_value[here] <= ALARM_ALPHA, days)
        made.append(Month(name, int(here.sum()), trained, mean(scored.log_prob[here], days), alarms))
    return made


def _plots(
    density: Density, judged: Table, found: Evaluation, months: list[Month], png: Path | None
) -> dict[str, list[str]]:
    from stream_app.offline.evaluate import plots

    names = density.spec.numeric
    rng = np.random.default_rng(SEED)
    kept = judged.take(np.sort(rng.permutation(len(judged))[:5_000]))
    real = density.encoder.dequantize(kept, rng).numeric.astype(np.float64)
    drawn = density.sample_given(kept, SEED).numeric.astype(np.float64)
    figures = {
        "calibration": [plots.calibration(found.curve, found.scorable, wide=True)],
        "slices": [plots.calibration(s.curve, s.rows, s.name) for s in found.slices[:_SLICES]],
        "months": [
            plots.months([m.name[2:] for m in months], [m.alarms for m in months], sum(m.trained for m in months))
        ],
        "pit": [plots.pit(found.pit[j], name) for j, name in enumerate(names)],
        "pairs": [plots.pair(real[:, list(p)], drawn[:, list(p)], [names[j] for j in p]) for p in _closest_pairs(real)],
        "marginals": [plots.marginal(real[:, j], drawn[:, j], name) for j, name in enumerate(names)],
    }
    made = {section: [plots.svg(figure) for figure in group] for section, group in figures.items()}
    if png is not None:
        for section, group in figures.items():
            for i, figure in enumerate(group):
                with writing(png / f"{section}-{i:02d}.png"):
                    (png / f"{section}-{i:02d}.png").write_bytes(plots.png(figure))
    return made


def _closest_pairs(real: Floats) -> list[tuple[int, int]]:
    """The pairs of columns that have most to do with each other, by rank correlation."""
    from scipy.stats import rankdata

    filled = np.where(np.isnan(real), np.nanmedian(real, axis=0), real)
    ranks = np.apply_along_axis(rankdata, 0, filled)
    with np.errstate(invalid="ignore", divide="ignore"):
        strength = np.nan_to_num(np.abs(np.atleast_2d(np.corrcoef(ranks.T))))
    pairs = [(i, j) for i in range(real.shape[1]) for j in range(i + 1, real.shape[1])]
    return sorted(pairs, key=lambda pair: -strength[pair])[:_PAIRS]


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _span(rows: Table) -> str:
    return f"{_utc(int(rows.time_ms.min())):%Y-%m-%d} to {_utc(int(rows.time_ms.max())):%Y-%m-%d}"
