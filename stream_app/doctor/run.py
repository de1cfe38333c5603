"""``driftflow doctor``: everything that a stream depends on, one line each, with what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from stream_app.config import Config
from stream_app.doctor.findings import Finding, fault, ok, warning
from stream_app.doctor.here import look_here
from stream_app.doctor.running import look_at_workers, why_no_alert
from stream_app.errors import DriftflowError
from stream_app.kafka.probes import require_reachable
from stream_app.setup.columns import words_of
from stream_app.setup.roles import LABELS
from stream_app.terminal import printable

_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}


class Unwell(DriftflowError):
    """The doctor has found faults, and has said which."""


def run_doctor(config: Config, path: Path, out: Console, as_json: bool, has_broker: bool) -> None:
    """Look at everything and print it.

    Args:
        config: the stream.
        path: of its file.
        out: where to print.
        as_json: one JSON object with ``findings`` in place of lines.
        has_broker: whether the file, or the command, names a broker; a stream of files does without.

    Raises:
        Unwell: there is a fault.
    """
    findings = list[Finding]()
    for finding in _looks(config, path, has_broker, findings):
        findings.append(finding)
        if not as_json:
            out.print(printable(str(finding)), style=_STYLES[finding.state], soft_wrap=True, markup=False)
    counted = Counter(finding.state for finding in findings)
    if as_json:
        answer = {"stream": config.stream, "faults": counted["fault"], "warnings": counted["warning"]}
        out.file.write(msgspec.json.encode({**answer, "findings": findings}).decode() + "\n")
    if counted["fault"]:
        told = " and ".join(f"{n} {of}{'s' * (n != 1)}" for of in ("fault", "warning") if (n := counted[of]))
        raise Unwell(f"{told}: each line says what to do")


def _looks(config: Config, path: Path, has_broker: bool, so_far: list[Finding]) -> Iterator[Finding]:
    event = config.event
    says = f"{path}: stream {config.stream}, {len(event.numeric)} numbers, {len(event.categorical)} categories"
    yield ok("configuration", f"{says}, {len(event.slicings)} slicings")
    if labels := [name for name in (*event.numeric, *event.categorical) if words_of(name) & LABELS]:
        says = f"{', '.join(labels[:8])}: by the name, what somebody has found of an event: the model learns the answer"
        yield warning("labels", says, "take them out of event.numeric and event.categorical, where they are that")
    yield from look_here(config)
    try:
        require_reachable(config.kafka)
    except DriftflowError as error:
        if has_broker:
            yield fault("broker", str(error))
            yield from look_at_workers(config)
        else:
            yield warning("broker", f"{error}", "or do without: `driftflow score FILE` needs none")
        return
    yield from _with_broker(config, so_far)


def _with_broker(config: Config, so_far: list[Finding]) -> Iterator[Finding]:
    from stream_app.doctor import broker  # clients of a broker, which not every stream needs

    yield from broker.look_at_broker(config)
    if any(finding.state == "fault" and finding.about in _LAYERS for finding in so_far):
        return
    found = broker.sampled(config)
    if isinstance(found, Finding):
        yield found
    else:
        yield from broker.look_at_events(config, found)
        yield broker.look_at_group(config, found)
    yield from look_at_workers(config)
    heard, silences = _heard(config)
    yield why_no_alert(config, so_far, heard, silences)


_LAYERS = ("reachable", "TLS", "login", "cluster")


def _heard(config: Config) -> tuple[Any, int]:
    """What the stream has told people, and how many silences are in force; nothing where its topics are not there."""
    from stream_app.kafka.actions import read_actions, silences
    from stream_app.models.marks import Marks
    from stream_app.operators.reading import read_told

    try:
        told = read_told(config)
    except DriftflowError:
        return None, 0
    try:
        known = silences(read_actions(config, Marks(config).is_trusted))
    except DriftflowError:
        return told, 0
    return told, sum(one.to_ms > told.newest_ms for one in known)
