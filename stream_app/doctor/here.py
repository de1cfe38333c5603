"""What can be looked at on this machine: folders and their disk, keys, the model, the sink."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from stream_app.config import Config
from stream_app.doctor.findings import Finding, fault, ok, warning
from stream_app.errors import DriftflowError, SinkError
from stream_app.models.keys.listing import list_keys
from stream_app.models.registry import Registry, ordered
from stream_app.sinks.aside import list_aside
from stream_app.terminal import utc
from stream_app.worker.status import read_status

_LITTLE, _NONE = 2**30, 100 * 2**20
"""Bytes that are free: below the first somebody should look, below the second nothing can be relied on."""


def look_here(config: Config) -> Iterator[Finding]:
    """Look at folders, keys, model and sink; nothing is made or changed."""
    yield from _disk(config)
    yield from _keys(config)
    yield from _model(config)
    yield from _sink(config)


def _disk(config: Config) -> Iterator[Finding]:
    paths = {
        "state.dir": config.path(config.state.dir),
        "trainer.registry": config.path(config.trainer.registry),
        "sink.spool": config.path(config.sink.spool).parent,
        **({"sink.path": config.path(config.sink.path).parent} if config.sink.kind == "sqlite" else {}),
    }
    frees = dict[int, int]()
    for setting, path in paths.items():
        there = _existing(path)
        if not os.access(there, os.W_OK | os.X_OK):
            yield fault("disk", f"{there} ({setting}) cannot be written", "give this user the right, or change it")
        else:
            frees[there.stat().st_dev] = shutil.disk_usage(there).free
    if frees:
        least = min(frees.values())
        says = f"{least / 2**30:,.1f} GiB are free for state, models, spool and store"
        remedy = "make room: a full disk ends workers and trainer"
        yield ok("disk", says) if least >= _LITTLE else (warning if least >= _NONE else fault)("disk", says, remedy)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists: there it would be made."""
    return next(each for each in (path, *path.resolve().parents) if each.exists())


def _keys(config: Config) -> Iterator[Finding]:
    listed = list_keys(config)
    for problem in listed.problems:
        yield warning("keys", problem)
    current = [key.role for key in listed.keys if key.state == "current"]
    if not any("models" in key.trusted_for for key in listed.keys):
        files = ", ".join(config.state.trusted_keys)
        remedy = "start `driftflow trainer` first, which makes it, and copy it to the workers' machines"
        yield warning("keys", f"there is no trainer's public key in {files} (state.trusted_keys)", remedy)
    elif not listed.problems:
        yield ok("keys", f"those of {', '.join(sorted(set(current))) or 'others'} are here and trusted")


def _model(config: Config) -> Iterator[Finding]:
    log = config.path(config.trainer.registry) / f"{config.stream}.jsonl"
    if not log.exists():
        yield _elsewhere(config)
        return
    try:
        registry = Registry(ordered(config))
        model_id = registry.in_service()
        if not model_id:
            yield _elsewhere(config)
            return
        density = registry.load(model_id)
    except (DriftflowError, OSError) as error:
        yield fault("model", str(error), "`driftflow models list` shows all of them")
        return
    notice = next((one for one in reversed(registry.notices()) if one.model_id == model_id), None)
    rows = f", trained on {notice.train_rows:,} events up to {utc(notice.created_ms)} UTC" if notice else ""
    yield ok("model", f"{density.model_id} is in service, signed and fit to score{rows}")


def _elsewhere(config: Config) -> Finding:
    """There is no model in the registry of this machine: the trainer may have its own."""
    service = read_status(config).get("service", "")
    if service:
        return ok("model", f"{service} is in service with the workers; the trainer's registry is not on this machine")
    remedy = "`driftflow trainer --bootstrap-until DATE` trains the first one, `driftflow score FILE` one of a file"
    return warning("model", f"none has been in service here ({config.trainer.registry})", remedy)


def _sink(config: Config) -> Iterator[Finding]:
    spool = config.path(config.sink.spool)
    if spool.exists():
        try:
            listed = list_aside(config)
            if listed["count"]:
                first = next(iter(listed["reasons"]), "")
                remedy = "`driftflow sink list`, and `driftflow sink retry` once it is mended"
                yield warning("sink", f"{listed['count']:,} points are set aside: {first}", remedy)
        except SinkError as error:
            yield fault("sink", str(error))
    if config.sink.kind == "influx":
        yield _influx(config)
        return
    path = config.path(config.sink.path)
    size = f"{path.stat().st_size / 2**20:,.1f} MiB" if path.exists() else "made by the first worker"
    yield ok("sink", f"the embedded store {config.sink.path}, {size}")


def _influx(config: Config) -> Finding:
    from stream_app.sinks.influx import InfluxSink  # its client takes a second

    try:
        sink = InfluxSink(config)
        try:
            kept = sink.retention_s()
        finally:
            sink.close()
    except (DriftflowError, OSError) as error:
        return fault("sink", f"{config.sink.url}: {error}", "look at sink.url, and at the server")
    if kept is None:
        says = f"{config.sink.url} does not say how long bucket {config.sink.bucket} keeps points"
        return warning("sink", says, "it is away, or the token may only write: see sink.url and sink.token_env")
    return ok("sink", f"{config.sink.url} keeps points of {config.sink.bucket} {f'{kept:,} s' if kept else 'for good'}")
