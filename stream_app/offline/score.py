"""``driftflow score`` and ``driftflow replay``: all stages over a file or a topic, in this process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from flowlib.density import Density
from stream_app.config import Config
from stream_app.disk import check_writable, read_lines, writing
from stream_app.errors import Interrupted, ModelError
from stream_app.event_files import of_files
from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry, ordered
from stream_app.offline.fields import check_fields
from stream_app.offline.first_model import bootstrap, has_model
from stream_app.offline.ordering import is_to_be_sorted
from stream_app.offline.reading import Between, Reading
from stream_app.offline.replay import LocalRun
from stream_app.offline.report.curves import curves_of
from stream_app.offline.report.page import Found, incidents_drawn, report_page
from stream_app.offline.report.rates import Rates
from stream_app.offline.signals import Signals, signals_to
from stream_app.offline.store import Store, store_of
from stream_app.offline.summary import Scored, tell
from stream_app.progress import Progressing
from stream_app.stages.decisions import DECODER, REMEDY, models_of
from stream_app.stages.outputs import Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.terminal import prepare_process, utc

if TYPE_CHECKING:
    from stream_app.kafka.history import Past

_NEW_THINGS = 50_000
"""More of them than go, between two looks of the garbage collector."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the command was asked for.

    Attributes:
        bootstrap_until: train a first model on the events before this time; None is no training where there is a
            model, else the first share of the events' time that suffices.
        model: id of the model to score with; None is the one in service.
        decisions: file of the decisions to repeat.
        between: event times that are wanted.
        signals: file to write the signals to.
        report: file to write the page to.
        store: whether windows and incidents go to the configured sink too.
        max_dropped: share of the rows that may be dropped.
        sort: bring the rows of a file into the order of their times; None where more than that would come too late.
    """

    bootstrap_until: str | None = None
    model: str | None = None
    decisions: Path | None = None
    between: Between | None = None
    signals: Path | None = None
    report: Path | None = None
    store: bool = False
    max_dropped: float = 0.01
    sort: bool | None = None


def run_score(config: Config, source: Path | Past, options: ScoreOptions, out: Console, err: Console) -> None:
    """Score a file or a topic with all stages; results go to ``out``, progress and warnings to ``err``.

    Raises:
        FieldsMissing: none of the first events has a field that the configuration names.
        ModelError: there is no model, or it is not accepted.
        TooManyDropped: of the rows; all else is done.
        Interrupted: by Ctrl-C: what is written, and how to go on.
        DriftflowError: a file or the topic cannot be read, or a file cannot be written.
    """
    for path in filter(None, (options.signals, options.report)):
        check_writable(path)
    prepare_process()
    config = of_files(config) if isinstance(source, Path) else config
    if isinstance(source, Path) and not options.decisions:
        config = _in_order(config)
    if options.bootstrap_until or not (options.model or options.decisions or has_model(config)):
        _train(config, source, options.bootstrap_until, err)
    else:
        check_fields(config, source)
    asked = False if options.decisions else options.sort  # a run that is repeated had its order
    sort = is_to_be_sorted(config, source, asked, options.max_dropped, err)
    reading = Reading(config, source, between=options.between, sort=sort)
    with signals_to(options.signals) as signals:
        run = _make_run(config, options, reading, signals)
        rates = Rates(_trained_until(run)) if options.report else None
        with _store(config, options, err) as store:
            scored = _feed(run, reading, _Takers(signals, store, rates), options, err)
    if options.report and rates:
        _write_report(run, reading, scored, signals, rates, options.report)
    for (model_id, engine), reason in run.pipeline.models.substitutes.items():
        err.print(
            f"model {model_id} is not scored by {engine}, as the decisions say, but within 1e-4 nats of it: {reason}",
            markup=False,
        )
    tell(out, scored, signals, reading.report, _look_next(config, options))
    reading.report.check(reading.name, options.max_dropped)


def _train(config: Config, source: Path | Past, until: str | None, err: Console) -> None:
    """A first model; raises as :func:`run_score` does."""
    try:
        bootstrap(config, source, until, err)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted while a first model was trained, before any row was scored: nothing is written; the same "
            "command begins anew, and --bootstrap-until DATE trains on less"
        ) from None


def _how_far(
    run: LocalRun, reading: Reading, rows: int, share: float | None, signals: Signals, options: ScoreOptions
) -> str:
    """What a run leaves that was interrupted after so many rows, a share of all, and how to go on."""
    judged = run.pipeline.judge_state
    part = f" ({share:.0%})" if share is not None else ""
    until = f", judged up to {utc(judged.final_ms)} UTC" if judged is not None and judged.final_ms else ""
    left = []
    if options.signals:
        left.append(f"{options.signals} holds their signals, {signals.lines:,} whole lines")
    if options.store:
        sink = run.config.sink
        left.append(f"the sink has their windows but for the newest; what it has not taken waits in {sink.spool}")
    if options.report:
        left.append(f"{options.report} is not written")
    told = "".join(f"; {one}" for one in left) or "; nothing is written"
    again = "the same command begins at the first row again, without training, and says the same; --to ends sooner"
    return f"interrupted after {rows:,} rows of {reading.name}{part}{until}{told}. To go on: {again}"


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """The garbage collector leaves alone what is here, and looks more rarely at what comes: a batch makes many small
    things that go with it, and a fifth of the time would be spent on looking.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_NEW_THINGS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _in_order(config: Config) -> Config:
    """One partition: a file is one log, in the order of its rows, whatever a topic would be parted by."""
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, partitions=1))


def _store(config: Config, options: ScoreOptions, err: Console) -> AbstractContextManager[Store | None]:
    whole = options.decisions is not None  # a run that is repeated leaves what it left
    return store_of(config, err, whole) if options.store else nullcontext()


def _make_run(config: Config, options: ScoreOptions, reading: Reading, signals: Signals) -> LocalRun:
    """A run with its models, ready for the first batch."""
    decisions = read_lines(options.decisions, DECODER, REMEDY) if options.decisions else []
    config = ordered(config, options.model or min(models_of(decisions), default=None))
    run = LocalRun(config, decisions, reading.sources, signals.take)
    for density in load_models(Registry(config), models_of(decisions), options.model):
        run.pipeline.models.add(scored_by(config, density))
    run.start(options.model or next(iter(run.pipeline.models.densities)))
    return run


def load_models(registry: Registry, decided: set[str], model: str | None) -> list[Density]:
    """The models that the decisions name; without decisions the one asked for, else the one in service.

    Raises:
        ModelError: there is none, or one cannot be loaded.
    """
    if decided:
        return [registry.load(model_id) for model_id in sorted(decided | ({model} if model else set()))]
    if model:
        return [registry.load(model)]
    current = registry.current()
    if current is None:
        raise ModelError("there is no model yet: add --bootstrap-until DATE to train one on the file's first part")
    return [current]


@dataclass(frozen=True, slots=True)
class _Takers:
    """What takes in what comes of a run, batch by batch."""

    signals: Signals
    store: Store | None
    rates: Rates | None

    def take(self, points: Points) -> None:
        """Points of a batch, whose signals were taken already."""
        self.signals.flush()
        if self.store is not None:
            self.store.take(points)
        if self.rates is not None:
            self.rates.take(points)


def _feed(run: LocalRun, reading: Reading, takers: _Takers, options: ScoreOptions, err: Console) -> Scored:
    """Feed all of it; signals and points go out batch by batch. Raises Interrupted."""
    states, first_ms = run.pipeline.score_states, 0
    rows, share = 0, reading.report.taken()
    if takers.store is not None and run.pipeline.make_decisions:
        takers.store.add_models({*run.pipeline.models.densities})
    with Progressing(err, "scoring", "rows") as told:
        try:
            for raw in reading.batches():
                points = run.feed(raw) + run.pass_over(reading.done())
                takers.take(points)
                reading.scored(run.scored, states[raw.partition])
                first_ms = first_ms or _first_end(points)
                rows, share = rows + len(raw), reading.report.taken()
                told(rows, share)
        except KeyboardInterrupt:
            raise Interrupted(_how_far(run, reading, rows, share, takers.signals, options)) from None
    takers.take(run.pass_over(states))
    if takers.store is not None:
        takers.store.finish()
    reading.finish(states)
    return _scored(run, reading, first_ms, told.rate)


def _trained_until(run: LocalRun) -> int:
    """Event time at which the training of the oldest model ended; 0 where nobody knows."""
    ids, notices = {*run.pipeline.models.densities}, Registry(run.config).notices()
    return min((notice.created_ms for notice in notices if notice.model_id in ids), default=0)


def _write_report(run: LocalRun, reading: Reading, scored: Scored, signals: Signals, rates: Rates, path: Path) -> None:
    drawn, densities = incidents_drawn(signals), run.pipeline.models.densities
    curves = curves_of(run.config, reading.again(), densities, drawn, scored.last_ms)
    found = Found(run.config.stream, scored, signals, rates, reading.report, curves)
    with writing(path):
        path.write_text(report_page(found), encoding="utf-8")


def _first_end(points: Points) -> int:
    """End of the first pane that points are of; 0 where none has closed."""
    return min((part.first_end_ms for part in points.parts if isinstance(part, WindowBlock)), default=0)


def _scored(run: LocalRun, reading: Reading, first_ms: int, rate: float) -> Scored:
    states, judged = run.pipeline.score_states.values(), run.pipeline.judge_state
    received, windowed = (sum(state.counters[name] for state in states) for name in ("received", "windowed"))
    last_ms = judged.final_ms if judged is not None else 0
    return Scored(reading.name, received, windowed, first_ms, last_ms, sorted(run.pipeline.models.densities), rate)


def _look_next(config: Config, options: ScoreOptions) -> list[str]:
    """Where there is more to see, of what was asked for; else how to ask for it."""
    places = []
    if options.report:
        places.append(f"{options.report}, the same with pictures")
    if options.signals:
        places.append(f"{options.signals}, every message (`driftflow incidents --from-file {options.signals}`)")
    if options.store and config.sink.kind == "sqlite":
        places.append("`driftflow console`, the page")
    return places or ["add --report report.html for pictures, --signals signals.jsonl for every message"]
