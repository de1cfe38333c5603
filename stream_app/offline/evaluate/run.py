"""``driftflow evaluate``: from a file and a model to a report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import rankdata

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA, Evaluation, evaluate, mean, share
from flowlib.fairness import Part
from flowlib.notebook import of_evaluation, table
from flowlib.table import DAY_MS, Floats, Table
from stream_app.config import Config
from stream_app.disk import check_writable, writing
from stream_app.event_files import Report, of_files
from stream_app.models.registry import ordered
from stream_app.offline.evaluate import plots
from stream_app.offline.evaluate.evasion import Plan, Slip, attacked, evasion_part
from stream_app.offline.evaluate.fair import fairness_part, parts_of
from stream_app.offline.evaluate.page import About, Month, page, verdict
from stream_app.offline.evaluate.rows import (
    BASELINE_ROWS_MIN,
    SEED,
    Chosen,
    Subject,
    baselines,
    choose_rows,
    read_subject,
    simple_model,
)
from stream_app.offline.fields import check_fields
from stream_app.offline.first_model import bootstrap
from stream_app.offline.reading import Reading
from stream_app.terminal import prepare_process, utc

_PAIRS, _SLICES, _POINTS = 8, 24, 5_000


def run_evaluate(
    config: Config,
    file: Path,
    out: Path,
    err: Console,
    png: Path | None = None,
    model: str | None = None,
    bootstrap_until: str | None = None,
    report: Report | None = None,
    plan: Plan | None = None,
) -> Evaluated:
    """Write the report on a model over a file's events; see the command's help. ``report`` tells of the file's rows,
    ``plan`` what an attacker may do, None for no attack.

    Raises:
        FieldsMissing: none of the file's first events has a field that the configuration names.
        ModelError: there is no model, or the file has no events that it has not seen.
        DriftflowError: a file cannot be read, or the report cannot be written there.
    """
    check_writable(out)
    if png is not None:
        with writing(png):
            png.mkdir(parents=True, exist_ok=True)
    prepare_process()
    if bootstrap_until:
        bootstrap(config, file, bootstrap_until, err)
    config = ordered(config, model)
    subject = read_subject(config, model)
    config = of_files(config)
    check_fields(config, file)
    density, chosen = subject.density, choose_rows(Reading(config, file, report), config, subject)
    judged = chosen.rows.take(chosen.judging)
    err.print(f"evaluating {density.model_id} on {len(judged):,} {chosen.kind}")
    train = chosen.rows.take(chosen.training)
    fitted, left_out = baselines(density, train, judged)
    others = train, train.time_ms // DAY_MS
    evaluation = evaluate(density, judged, judged.time_ms // DAY_MS, SEED, fitted, left_out, others)
    months = _months(subject, chosen)
    about = About(config.stream, density.model_id, chosen.kind, _span(judged), density.spec.numeric)
    drawings = _drawings(density, config.event.sensitive, judged, evaluation, months, png)
    found = _attacked(config, density, chosen, plan, err) if plan is not None else []
    parts = parts_of(config, density, judged)
    further = [fairness_part(parts)]
    further += [evasion_part(found, plan, _slipping(found, png))] if plan is not None else []
    with writing(out):
        out.write_text(page(about, evaluation, months, drawings, further), encoding="utf-8")
    return Evaluated(about, evaluation, parts, found)


@dataclass(frozen=True)
class Evaluated:
    """What a report says.

    Attributes:
        about: what it is about.
        evaluation: the figures.
        fairness: slices and groups of them against all others.
        attack: what slips through, by kind and budget; empty where no attack was asked for.
    """

    about: About
    evaluation: Evaluation
    fairness: list[Part]
    attack: list[Slip]

    def _repr_html_(self) -> str:
        """What a notebook shows: what the page says first, and where its rows come from."""
        about = [("model", self.about.model_id), ("events", f"{self.about.rows}, {self.about.span}")]
        return table(self.about.stream, about, verdict(self.evaluation)) + of_evaluation(self.evaluation)

    def to_json(self) -> dict[str, Any]:
        """The figures that the page begins with, and those of the attack."""
        e = self.evaluation
        return {
            "stream": self.about.stream,
            "model": self.about.model_id,
            "rows": e.rows,
            "scorable": e.scorable,
            "kind": self.about.rows,
            "span": self.about.span,
            "log_prob": asdict(e.log_prob),
            "over": {name: asdict(gain) for name, gain in e.over.items()},
            "alarms": asdict(e.alarms),
            "two_sample": asdict(e.two_sample),
            "fairness": [part.to_json() for part in self.fairness],
            "attack": [slip.to_json() for slip in self.attack],
        }


def _attacked(config: Config, density: Density, chosen: Chosen, plan: Plan, err: Console) -> list[Slip]:
    judged, train = chosen.rows.take(chosen.judging), chosen.rows.take(chosen.training)
    err.print(f"attacking it within {' and '.join(f'{budget:g}' for budget in plan.budgets)} standard deviations")
    simple = simple_model(density, train) if len(train) >= BASELINE_ROWS_MIN else None
    return attacked(config, density, judged, plan, simple)


def _slipping(found: list[Slip], png: Path | None) -> str:
    """The plot of the attack as SVG; "" where there is nothing to show."""
    if not found:
        return ""
    budgets = sorted({slip.budget for slip in found})
    of = {budget: [slip for slip in found if slip.budget == budget] for budget in budgets}
    first = of[budgets[0]]
    after = [[slip.after.value for slip in of[budget]] for budget in budgets]
    figure = plots.slipping([slip.kind for slip in first], [slip.before.value for slip in first], after, budgets)
    drawing = plots.svg(figure)
    if png is not None:
        with writing(png / "attack-00.png"):
            (png / "attack-00.png").write_bytes(plots.png(figure))
    return drawing


def _months(subject: Subject, chosen: Chosen) -> list[Month]:
    """Months in order; of those before the end of training, the rows that judge only."""
    shown = chosen.rows.take(chosen.judging | (chosen.rows.time_ms >= subject.until_ms))
    shown = shown.take(subject.density.score(shown).scorable)
    scores, days = subject.density.score(shown), shown.time_ms // DAY_MS
    before = shown.time_ms < subject.until_ms
    names = np.array([utc(int(day) * DAY_MS, "%Y-%m") for day in days])
    months = []
    for name, trained in sorted({*zip(names.tolist(), before.tolist(), strict=True)}, key=lambda m: (m[0], not m[1])):
        here = (names == name) & (before == trained)
        alarms = share(scores.p_value[here] <= ALARM_ALPHA, days[here])
        months.append(Month(name, int(here.sum()), trained, mean(scores.log_prob[here], days[here]), alarms))
    return months


def _drawings(
    density: Density,
    sensitive: Collection[str],
    judged: Table,
    evaluation: Evaluation,
    months: list[Month],
    png: Path | None,
) -> dict[str, list[str]]:
    """The plots as SVG, by section of the page; as PNG files too where a folder is given. Those of values leave
    sensitive columns out.
    """
    names = density.spec.numeric
    shown = [j for j, name in enumerate(names) if name not in sensitive]
    rng = np.random.default_rng(SEED)
    some = judged.take(np.sort(rng.permutation(len(judged))[:_POINTS]))
    real = some.numeric
    sampled = density.sample_given(some, SEED).numeric
    alarms, trained = [month.alarms for month in months], sum(month.trained for month in months)
    figures = {
        "calibration": [plots.calibration(evaluation.curve, evaluation.scorable, wide=True)],
        "slices": [plots.calibration(s.curve, s.rows, s.name) for s in evaluation.slices[:_SLICES]],
        "months": [plots.months([month.name for month in months], alarms, trained)],
        "pit": [plots.pit(evaluation.pit[j], name) for j, name in enumerate(names)],
        "pairs": [
            plots.pair(real[:, [i, j]], sampled[:, [i, j]], [names[i], names[j]])
            for i, j in _closest(real)
            if i in shown and j in shown
        ],
        "marginals": [plots.marginal(real[:, j], sampled[:, j], names[j]) for j in shown],
    }
    drawings = {section: [plots.svg(figure) for figure in group] for section, group in figures.items()}
    if png is not None:
        for section, group in figures.items():
            for i, figure in enumerate(group):
                with writing(png / f"{section}-{i:02d}.png"):
                    (png / f"{section}-{i:02d}.png").write_bytes(plots.png(figure))
    return drawings


def _closest(real: Floats) -> list[tuple[int, int]]:
    """The pairs of columns that have most to do with each other, by rank correlation."""
    filled = np.where(np.isnan(real), np.nanmedian(real, axis=0), real)
    ranks = np.apply_along_axis(rankdata, 0, filled)
    with np.errstate(invalid="ignore", divide="ignore"):
        strength = np.nan_to_num(np.abs(np.atleast_2d(np.corrcoef(ranks.T))))
    pairs = [(i, j) for i in range(real.shape[1]) for j in range(i + 1, real.shape[1])]
    return sorted(pairs, key=lambda pair: -strength[pair])[:_PAIRS]


def _span(rows: Table) -> str:
    return f"{utc(int(rows.time_ms.min()), '%Y-%m-%d')} to {utc(int(rows.time_ms.max()), '%Y-%m-%d')}"
