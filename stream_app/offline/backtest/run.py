"""``driftflow backtest``: from a history and a file of rules to a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flowlib.density import Density
from stream_app.config import Config, with_rules
from stream_app.disk import check_writable, read_lines, writing
from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry, ordered
from stream_app.offline.backtest import picture
from stream_app.offline.backtest.compare import Comparison, compared
from stream_app.offline.backtest.page import page
from stream_app.offline.backtest.sides import Sides
from stream_app.offline.backtest.threads import read_labels
from stream_app.offline.evaluate import plots
from stream_app.offline.reading import Reading
from stream_app.offline.score import load_models
from stream_app.progress import Progressing
from stream_app.stages.decisions import DECODER, REMEDY, Decision, models_of
from stream_app.terminal import prepare_process


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What the command was asked for.

    Attributes:
        rules: file with the other ``[alerts]`` and ``[rules]``.
        model: id of the model to score with; None is the one in service, or those that the decisions name.
        decisions: file of the decisions of the run in service.
        labels: CSV file of what is known.
        out: the page.
        png: the picture; None for none.
        figures: JSON file of the figures; None for none.
    """

    rules: Path
    model: str | None = None
    decisions: Path | None = None
    labels: Path | None = None
    out: Path = Path("backtest.html")
    png: Path | None = None
    figures: Path | None = None


def run_backtest(config: Config, reading: Reading, options: BacktestOptions, err: Console) -> Comparison:
    """Judge a history by the rules in service and by others, and write the report.

    Raises:
        ConfigError: the file of rules has faults.
        ModelError: there is no model, or one that the decisions name is not here.
        DriftflowError: a file cannot be read or written.
    """
    for path in filter(None, (options.out, options.png, options.figures)):
        check_writable(path)
    rules = with_rules(config, options.rules)
    labels = read_labels(config.event, options.labels) if options.labels else []
    prepare_process()
    decisions = read_lines(options.decisions, DECODER, REMEDY) if options.decisions else []
    first = options.model or min(models_of(decisions), default=None)
    config, rules = ordered(config, first), ordered(rules, first)
    sides = Sides(config, rules, decisions, _models(config, decisions, options.model), reading.sources)
    with Progressing(err, "judging twice", "rows") as told:
        for raw in reading.batches():
            sides.feed(raw)
            told(sides.events, reading.report.taken())
    comparison = compared(sides, decisions, labels)
    _write(config, comparison, options)
    return comparison


def _models(config: Config, decisions: Sequence[Decision], model: str | None) -> list[Density]:
    densities = load_models(Registry(config), models_of(decisions), model)
    return [scored_by(config, density) for density in densities]


def _write(config: Config, comparison: Comparison, options: BacktestOptions) -> None:
    figure = picture.timeline(comparison)
    drawn = plots.svg(figure)
    with writing(options.out):
        options.out.write_text(page(config.stream, comparison, drawn), encoding="utf-8")
    if options.png is not None:
        with writing(options.png):
            options.png.write_bytes(plots.png(figure))
    if options.figures is not None:
        with writing(options.figures):
            options.figures.write_text(json.dumps(comparison.figures(), indent=1) + "\n", encoding="utf-8")
