"""A first model of a file or a topic, trained here and put into the registry as the trainer would."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from rich.console import Console

from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.table import Ints
from schemas.records import RetrainRequest
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.event_files import of_files
from stream_app.models import audit_lines
from stream_app.models.audit import AuditLog
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline.fields import check_fields
from stream_app.offline.reading import Reading
from stream_app.progress import Progressing
from stream_app.setup.lifetimes import KNOWN, SHARES, Lives, lives_of
from stream_app.stages.batches import EventBatch
from stream_app.stages.dropped import Dropped
from stream_app.terminal import utc
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from stream_app.trainer.data.rows import gather
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.training import answer

if TYPE_CHECKING:
    from stream_app.kafka.history import Past

_STRAY = 0.001
"""Share of the events at either end whose times are not believed."""


def bootstrap(config: Config, source: Path | Past, until: str | None, err: Console) -> Density:
    """Train the first model on the events before a time, and put it into the registry.

    Args:
        config: the stream.
        source: a file, or what is on the topic.
        until: the time as people write it; None is the end of the first share of the events' time that suffices.
        err: takes the progress, and what was trained.

    Raises:
        FieldsMissing: none of the first events has a field that the configuration names.
        ModelError: the model was refused, with the reason.
        DriftflowError: the source cannot be read, or the registry cannot be written.
    """
    config = of_files(config) if isinstance(source, Path) else config
    check_fields(config, source)
    key, registry = signing_key(config), Registry(config)
    asked_ms = None if until is None else bootstrap_until_ms(config, until)
    reading = Reading(config, source)
    events = list(reading.events())
    refused = ""
    for until_ms, share, lives in [(asked_ms, 0.0, "")] if asked_ms is not None else _parts(config, events):
        if share:
            err.print(
                f"no model yet{refused}: the first {share:.0%} of the time, until {utc(until_ms)}, trains one{lives}; "
                "--bootstrap-until DATE says otherwise",
                markup=False,
                soft_wrap=True,
            )
        request = bootstrap_request(config, _ends(config, events, until_ms), 0, until_ms)
        outcome = _train(config, request, events, copy.deepcopy(reading.dropped), key, until or utc(until_ms), err)
        if outcome.model is not None:
            _keep(config, registry, request, outcome)
            err.print(f"model {outcome.model.model_id}: {outcome.notice.reason}", markup=False, soft_wrap=True)
            return registry.load(outcome.model.model_id)
        refused = f" ({outcome.notice.reason})"
    raise ModelError(f"no model: {outcome.notice.reason}{_remedy(outcome.notice.reason)}")


def has_model(config: Config) -> bool:
    """Whether a model was ever put in service; raises DriftflowError where the registry is damaged."""
    log = config.path(config.trainer.registry) / f"{config.stream}.jsonl"
    return log.exists() and bool(Registry(config).in_service())


def _remedy(reason: str) -> str:
    """What helps where the rows that judge a model are unlike those that train it."""
    if not reason.startswith("calibration_high"):
        return ""
    return (
        "; the last of these rows are unlike those before: leave out fields that drift, end the training where all was "
        "calm (--bootstrap-until DATE), or allow more (trainer.max_alarm_ratio)"
    )


def _train(
    config: Config,
    request: RetrainRequest,
    events: list[EventBatch],
    dropped: Dropped,
    key: Ed25519PrivateKey,
    until: str,
    err: Console,
) -> Outcome:
    until_ms = request.requested_pane_ms
    rows = gather(events, 0, until_ms, rejected=dropped)
    newest_ms = int(rows.table.time_ms[-1]) if len(rows) else 0
    later = sum(map(len, events)) - len(rows)
    if later:
        dropped.add("not before --bootstrap-until", "", until, later)
    steps = config.model.max_steps
    with Progressing(err, "training", "steps") as told:
        return answer(config, request, rows, None, key, lambda p: told(p.step, p.step / steps), seen_ms=newest_ms)


def _parts(config: Config, events: list[EventBatch]) -> Iterator[tuple[int, float, str]]:
    """First parts that may train, each as its end, its share of the time, and which series it knows: the shares in
    turn, those before which too few series have begun last.
    """
    times = np.concatenate([batch.event_time_ms for batch in events] or [np.zeros(0, dtype=np.int64)])
    if not len(times):
        yield 0, SHARES[0], ""
        return
    first, last = _span(times)
    pane_ms, codes = int(config.windows.pane), _series(config, events)
    ends = [-(-(first + round(share * (last - first))) // pane_ms) * pane_ms for share in SHARES]
    known = [lives_of(times, codes, end) for end in ends]
    enough = min(KNOWN, max(one.share for one in known))
    parts = sorted(zip(ends, SHARES, known, strict=True), key=lambda part: part[2].share < enough)
    yield from ((end, share, _told(config, one)) for end, share, one in parts)


def _series(config: Config, events: list[EventBatch]) -> Ints:
    """``(n,)`` a number for the series of each event, by the first slicing."""
    if not config.event.slicings[0]:
        return np.zeros(sum(map(len, events)), dtype=np.int64)
    names = np.concatenate([batch.slices[0].objects().astype(str) for batch in events])
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _told(config: Config, lives: Lives) -> str:
    """Which series are known, where not most events are of those."""
    if lives.share > 1 - KNOWN / 5:
        return ""
    of = "+".join(config.event.slicings[0])
    return (
        f" of {lives.begun:,} of {lives.series:,} values of {of}, which make {lives.share:.0%} of all events (others "
        "begin later: they are judged by what all have in common)"
    )


def _span(times: Ints) -> tuple[int, int]:
    """First and last time, without the few that may be wrong by years."""
    stray = int(len(times) * _STRAY)
    ordered = np.sort(times)
    return int(ordered[stray]), int(ordered[len(times) - 1 - stray])


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
            ends[batch.partition] = max(ends.get(batch.partition, 0), int(before.max()) + 1)
    return ends
