"""``driftflow score``: the local runtime behind a command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.records import Alert, RetrainRequest
from stream_app.config import Config
from stream_app.disk import check_writable, read_lines, writing
from stream_app.errors import ModelError
from stream_app.event_files import read_rows
from stream_app.models.keys import signing_key
from stream_app.models.loading import scored_by
from stream_app.models.registry import Entry, Registry
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import DECODER, REMEDY, models_of
from stream_app.stages.outputs import Outgoing
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.state import COUNTERS
from stream_app.terminal import prepare_process, progress_bar
from stream_app.trainer import dataset
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from stream_app.trainer.training import answer


def run_score(
    config: Config,
    file: Path,
    out: Console,
    err: Console,
    bootstrap_until: str | None = None,
    model: str | None = None,
    decisions: str | None = None,
    signals_path: str | None = None,
    store: bool = False,
) -> None:
    """Score a file with both stages; see the command's help."""
    if signals_path:
        check_writable(Path(signals_path))
    prepare_process()
    if bootstrap_until:
        bootstrap(config, file, bootstrap_until, err)
    given = read_lines(Path(decisions), DECODER, REMEDY) if decisions else []
    registry = Registry(config)
    run = LocalRun(config, given)
    for density in _models(registry, models_of(given), model):
        run.pipeline.models.add(scored_by(config, density))
    service = model or next(iter(run.pipeline.models.densities))
    run.start(service)
    spool = _open_store(config) if store else None
    total = sum(1 for _ in read_rows(file, config))
    with progress_bar(err) as bar:
        task = bar.add_task("scoring", total=total)
        for raw in batches(config, read_rows(file, config)):
            points = run.feed(raw)
            if spool is not None and points:
                spool[0].append(points)
            bar.advance(task, len(raw))
    if spool is not None:
        spool[1].drain(600.0)
        spool[1].stop()
        spool[0].close()
    if signals_path:
        write_signals(run.sent, Path(signals_path))
    for (model_id, engine), reason in run.pipeline.models.substitutes.items():
        err.print(
            f"model {model_id} is not scored by {engine}, as the decisions say, but within 1e-4 nats of it: {reason}"
        )
    _tell(run, out)


def bootstrap(config: Config, file: Path, until: str, err: Console) -> Density:
    """Train the first model on the file's events before a time, and put it into the registry."""
    key, registry, until_ms = signing_key(config), Registry(config), bootstrap_until_ms(config, until)
    raws = list(batches(config, read_rows(file, config)))
    rows = dataset.gather((Decoder(config).decode(raw)[0] for raw in raws), 0, until_ms)
    request = bootstrap_request(config, _ends(config, raws, until_ms), 0, until_ms)
    with progress_bar(err) as bar:
        task = bar.add_task("training", total=config.model.max_steps)
        outcome = answer(config, request, rows, None, key, lambda p: bar.update(task, completed=p.step))
    if outcome.made is None:
        raise ModelError(f"no model: {outcome.notice.reason}")
    registry.save(outcome.made)
    registry.record(outcome.notice)
    registry.promote(Entry(outcome.made.model_id, request.id, request.requested_pane_ms))
    err.print(f"model {outcome.made.model_id}: {outcome.notice.reason}")
    return registry.load(outcome.made.model_id)


def _ends(config: Config, raws: Iterable[RawBatch], until_ms: int) -> dict[int, int]:
    """Offset after the last event before a time, by partition: what the broker would hold had it been sent no more."""
    decoder, ends = Decoder(config), dict.fromkeys(range(config.topics.partitions), 0)
    for raw in raws:
        events, _ = decoder.decode(raw)
        before = events.offsets[events.event_time_ms < until_ms]
        if len(before):
            ends[raw.partition] = max(ends[raw.partition], int(before.max()) + 1)
    return ends


def _models(registry: Registry, named: set[str], model: str | None) -> list[Density]:
    if named:
        return [registry.load(model_id) for model_id in sorted(named)]
    if model:
        return [registry.load(model)]
    current = registry.current()
    if current is None:
        raise ModelError("there is no model yet: add --bootstrap-until DATE to train one on the file's first part")
    return [current]


def _open_store(config: Config) -> Any:
    from stream_app.sinks import make_sink
    from stream_app.sinks.spool import Drainer, Spool

    spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
    drainer = Drainer(spool, make_sink(config))
    drainer.start()
    return spool, drainer


def write_signals(sent: dict[tuple[str, int], list[Outgoing]], path: Path) -> None:
    """Signals as JSON lines, partition by partition, each in order."""
    with writing(path), open(path, "w") as file:
        for (role, partition), messages in sorted(sent.items()):
            for message in messages if role == "signals" else ():
                headers = {name: value.decode() for name, value in message.headers}
                line = {"partition": partition, **headers, "data": json.loads(message.value)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _tell(run: LocalRun, out: Console) -> None:
    totals = {name: sum(s.counters[name] for s in run.pipeline.score_states.values()) for name in COUNTERS}
    out.print("  ".join(f"{name} [bold]{n:,}[/]" for name, n in totals.items()))
    table = Table("when", "state", "slice", "rule", "what", box=None)
    for (role, _), messages in sorted(run.sent.items()):
        for message in messages if role == "signals" else ():
            record = decode_event(message.value, message.headers)
            if isinstance(record, Alert):
                table.add_row(_day(record.pane_end_ms), record.state, record.slice, record.rule, record.summary)
            elif isinstance(record, RetrainRequest):
                table.add_row(_day(record.requested_pane_ms), "retrain", ",".join(record.slices), record.reason, "")
    out.print(table)


def _day(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
