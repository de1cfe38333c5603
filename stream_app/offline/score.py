"""``driftflow score``: both stages over a file, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.incidents import Incident, StrangeEvents
from schemas.records import RetrainRequest
from stream_app.config import Config
from stream_app.disk import check_writable, read_lines, writing
from stream_app.errors import ModelError
from stream_app.event_files import of_files
from stream_app.incident_lines import newest, show, story
from stream_app.models import audit_lines
from stream_app.models.audit import AuditLog
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry, ordered
from stream_app.offline.fields import check_fields
from stream_app.offline.reading import Reading
from stream_app.offline.replay import LocalRun
from stream_app.sinks import make_sink
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.stages.batches import EventBatch
from stream_app.stages.decisions import DECODER, REMEDY, models_of
from stream_app.stages.outputs import Outgoing
from stream_app.stages.score.state import COUNTERS
from stream_app.terminal import prepare_process, progress_bar, utc
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from stream_app.trainer.data.rows import gather
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.training import answer

_DRAIN_S = 600.0
_INCIDENTS_TOLD = 20
"""The others are among the signals (``--signals``)."""

Sent = dict[tuple[str, int], list[Outgoing]]
"""Messages by role and partition, in order."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the command was asked for.

    Attributes:
        bootstrap_until: train a first model on the events before this time.
        model: id of the model to score with; None is the one in service.
        decisions: file of the decisions to repeat.
        signals: file to write the signals to.
        store: whether windows and incidents go to the configured sink too.
        max_dropped: share of the rows that may be dropped.
    """

    bootstrap_until: str | None = None
    model: str | None = None
    decisions: Path | None = None
    signals: Path | None = None
    store: bool = False
    max_dropped: float = 0.01


def run_score(config: Config, file: Path, options: ScoreOptions, out: Console, err: Console) -> None:
    """Score a file with both stages; results go to ``out``, progress and warnings to ``err``.

    Raises:
        FieldsMissing: none of the file's first events has a field that the configuration names.
        ModelError: there is no model, or it is not accepted.
        TooManyDropped: of the file's rows; all else is done.
        DriftflowError: a file cannot be read or written.
    """
    if options.signals:
        check_writable(options.signals)
    prepare_process()
    config = of_files(config)
    if options.bootstrap_until:
        bootstrap(config, file, options.bootstrap_until, err)
    run, reading = _make_run(config, options), Reading(config, file)
    if options.store:
        with _store(config, err) as spool:
            _feed(run, reading, err, spool)
    else:
        _feed(run, reading, err)
    if options.signals:
        write_signals(run.sent, options.signals)
    for (model_id, engine), reason in run.pipeline.models.substitutes.items():
        err.print(
            f"model {model_id} is not scored by {engine}, as the decisions say, but within 1e-4 nats of it: {reason}",
            markup=False,
        )
    _print_results(run, out)
    reading.report.tell(out)
    reading.report.check(file, options.max_dropped)


def bootstrap(config: Config, file: Path, until: str, err: Console) -> Density:
    """Train the first model on the file's events before a time, and put it into the registry.

    Raises:
        FieldsMissing: none of the file's first events has a field that the configuration names.
        ModelError: the model was refused, with the reason.
        DriftflowError: the file cannot be read, or the registry cannot be written.
    """
    config = of_files(config)
    check_fields(config, file)
    key, registry, until_ms = signing_key(config), Registry(config), bootstrap_until_ms(config, until)
    reading = Reading(config, file)
    events = list(reading.events())
    request = bootstrap_request(config, _ends(config, events, until_ms), 0, until_ms)
    with progress_bar(err) as bar:
        task = bar.add_task("training", total=config.model.max_steps)
        rows = gather(events, 0, until_ms, rejected=reading.dropped)
        newest_ms = int(rows.table.time_ms[-1]) if len(rows) else 0
        later = sum(map(len, events)) - len(rows)
        if later:
            reading.dropped.add("not before --bootstrap-until", "", until, later)
        outcome = answer(
            config, request, rows, None, key, lambda p: bar.update(task, completed=p.step), seen_ms=newest_ms
        )
    if outcome.model is None:
        raise ModelError(f"no model: {outcome.notice.reason}")
    _keep(config, registry, request, outcome)
    err.print(f"model {outcome.model.model_id}: {outcome.notice.reason}", markup=False)
    return registry.load(outcome.model.model_id)


def _keep(config: Config, registry: Registry, request: RetrainRequest, outcome: Outcome) -> None:
    """Put a model into the registry and its story into the audit log, as the trainer does."""
    assert outcome.model is not None
    log, notice = AuditLog(config), outcome.notice
    registry.save(outcome.model)
    for line in (
        audit_lines.of_request(request, f"/driftflow/{config.stream}/offline"),
        audit_lines.of_training(notice),
        audit_lines.of_gates(notice, outcome.verdict),
    ):
        log.append(*line)
    said = {**notice.provenance, "audit_head": log.head}
    kept = registry.record(msgspec.structs.replace(notice, provenance=said))
    log.append(*audit_lines.of_notice(kept))
    registry.change(Entry(kept.model_id, request.id, kept.created_ms))


def _ends(config: Config, events: Iterable[EventBatch], until_ms: int) -> dict[int, int]:
    """Offset after the last event before a time, by partition: what the broker would hold had it been sent no more."""
    ends = dict.fromkeys(range(config.topics.partitions), 0)
    for batch in events:
        before = batch.offsets[batch.event_time_ms < until_ms]
        if len(before):
            ends[batch.partition] = max(ends[batch.partition], int(before.max()) + 1)
    return ends


def _make_run(config: Config, options: ScoreOptions) -> LocalRun:
    """A run with its models, ready for the first batch."""
    decisions = read_lines(options.decisions, DECODER, REMEDY) if options.decisions else []
    config = ordered(config, options.model or min(models_of(decisions), default=None))
    run = LocalRun(config, decisions)
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


def _feed(run: LocalRun, reading: Reading, err: Console, spool: Spool | None = None) -> None:
    check_fields(run.config, reading.file)
    states = run.pipeline.score_states
    with progress_bar(err) as bar:
        task = bar.add_task("scoring", total=reading.count())
        for raw in reading.batches():
            points = run.feed(raw)
            reading.scored(run.scored, states[raw.partition])
            if spool is not None and points:
                spool.append(points)
            bar.advance(task, len(raw))
    reading.finish(states)


@contextmanager
def _store(config: Config, err: Console) -> Iterator[Spool]:
    """The spool of the configured sink; what is appended to it has been written when the block ends.

    Raises:
        SinkError: the spool or the sink cannot be opened, or the spool cannot be written.
    """
    spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
    try:
        drainer = Drainer(spool, make_sink(config))
        drainer.start()
        try:
            yield spool
            if not drainer.drain(_DRAIN_S):
                why = drainer.state.error or "the sink takes none now"
                waiting = f"{len(spool):,} points wait in {spool.path}, the next run hands them on: {why}"
                err.print(waiting, markup=False, soft_wrap=True)
        finally:
            drainer.stop()
    finally:
        spool.close()


def _signals(sent: Sent) -> Iterator[tuple[int, Outgoing]]:
    """``(partition, message)`` of the signals, partition by partition, each in order."""
    for (role, partition), messages in sorted(sent.items()):
        if role == "signals":
            yield from ((partition, message) for message in messages)


def write_signals(sent: Sent, path: Path) -> None:
    """Write the signals as JSON lines, partition by partition, each in order.

    Raises:
        DriftflowError: the file cannot be written.
    """
    with writing(path), open(path, "w", encoding="utf-8") as file:
        for partition, message in _signals(sent):
            headers = {name: value.decode() for name, value in message.headers}
            line = {"partition": partition, **headers, "data": json.loads(message.value)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _print_results(run: LocalRun, out: Console) -> None:
    states = run.pipeline.score_states.values()
    totals = {name: sum(state.counters[name] for state in states) for name in COUNTERS}
    out.print("  ".join(f"{name} [bold]{n:,}[/]" for name, n in totals.items()))
    told = [decode_event(message.value, message.headers) for _, message in _signals(run.sent)]
    incidents = newest(record for record in told if isinstance(record, Incident))
    strange = [record for record in told if isinstance(record, StrangeEvents)]
    for part in story(incidents.values(), strange, _INCIDENTS_TOLD):
        show(out, part)
    requests = [record for record in told if isinstance(record, RetrainRequest)]
    if requests:
        days = ", ".join(utc(request.requested_pane_ms, "%Y-%m-%d") for request in requests)
        out.print(Text(f"A model is asked for, and not trained here: {days}"))
