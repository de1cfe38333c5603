"""Events through the product: a model as the trainer makes it, then JSON bodies through SCORE and WATCH.

The trained flow is what :func:`stream_app.trainer.training.answer` makes of the reference's rows: split by days,
fitted, gated, signed, and loaded again from the signed bytes. The *planted* density goes the same way but for its
weights: instead of training, a mixture of one component gets the mean and covariance that the events were drawn from.
It shows what of a figure is the flow's and what the statistics'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import torch

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.flows import Flow, Mixture
from flowlib.table import Floats
from flowlib.training import TrainingRows
from schemas import evidence
from schemas.codecs import decode_event, decode_evidence
from schemas.evidence import PaneEvidence
from schemas.pane_layout import TOGETHER
from schemas.records import Record
from stream_app.config import Config
from stream_app.config.alerts import MONTH_MS
from stream_app.config.loading import parse
from stream_app.config.promise import floor
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.batches import PartialMessage
from stream_app.stages.detection import mixture
from stream_app.stages.detection.detectors import GroupSums
from stream_app.stages.judge.candidates import Candidate
from stream_app.stages.judge.findings import Findings
from stream_app.stages.layout import layout_of
from stream_app.stages.outputs import Point
from stream_app.stages.score.decoding import Decoder
from stream_app.trainer import training
from stream_app.trainer.bootstrap import bootstrap_request
from stream_app.trainer.data.rows import gather
from tests.bench.detect.streams import START_MS, Events, Planted

LEVEL = 10_000.0
"""A of the bench: evidence that the rules keep together."""
STEPS = 600
"""Training steps of a flow; more gains nothing on planted streams."""


def config_of(features: Sequence[str], **sections: dict[str, Any]) -> Config:
    """A stream with these columns, sliced by ``slice``, times in epoch ms, default rules.

    Args:
        features: numeric columns.
        sections: settings by section, over those that are set here: ``model={"flow": "mixture"}``.
    """
    raw: dict[str, Any] = {
        "stream": "bench",
        "topics": {"events": "events", "partitions": 1},
        "event": {
            "time_field": "time",
            "time_format": "epoch_ms",
            "numeric": list(features),
            "slicings": [["slice"]],
            "key": ["slice"],
        },
        "model": {"max_steps": STEPS},
        "trainer": {"min_rows": 200},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return parse(raw, "the bench")


def planted_config(planted: Planted, **sections: dict[str, Any]) -> Config:
    """:func:`config_of` for a planted stream."""
    return config_of(planted.features, **sections)


@dataclass(frozen=True)
class Seen:
    """A slice whose evidence under a rule has come to the level of the bench, or is over.

    Attributes:
        pane: number of the pane, from the stream's first on.
        rule, slice_: whose; :data:`~schemas.pane_layout.TOGETHER` is the sum of all slices.
        state: ``open`` or ``over``.
        features: those blamed, the first one most; a pair counts as its two members.
        channels: detectors that speak for it, the one to name first before the others.
    """

    pane: int
    rule: str
    slice_: str
    state: str
    features: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Watched:
    """What came of a run.

    Attributes:
        run: the run, with its pipeline and everything that was sent.
        start_ms: of pane 0.
        seen: in the order of the panes.
        points: for the sink, where they were asked for.
    """

    run: LocalRun
    start_ms: int
    seen: list[Seen]
    points: list[Point] = field(default_factory=list)

    def opened(self) -> list[Seen]:
        """Where evidence came to the level."""
        return [seen for seen in self.seen if seen.state == "open"]


def keyed(events: Events) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The bodies of planted events with their keys."""
    names = [name.encode() for name in events.planted.names()]
    yield from zip((names[s] for s in events.slice_.tolist()), events.bodies(), strict=True)


Rows = Iterable[tuple[bytes | None, bytes | None]]
"""Keyed bodies."""


def train(config: Config, rows: Rows, planted: Planted | None = None) -> Density:
    """The model that the trainer makes of events, from their bodies to the signed artifact and back.

    Args:
        config: the stream.
        rows: keyed bodies of the reference.
        planted: plant this stream's own density instead of training a flow.

    Raises:
        RuntimeError: the trainer refuses the model, with its reason.
    """
    decoder = Decoder(config)
    events = [decoder.decode(raw)[0] for raw in batches(config, rows)]
    ends = dict.fromkeys(range(config.topics.partitions), 0)
    ends |= {batch.partition: int(batch.offsets.max()) + 1 for batch in events if len(batch)}
    first_ms = min(int(batch.event_time_ms.min()) for batch in events if len(batch))
    last_ms = max(int(batch.event_time_ms.max()) for batch in events if len(batch))
    until_ms = -(-last_ms // int(config.windows.pane)) * int(config.windows.pane)
    table = gather(events, first_ms, until_ms)
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with _planting(planted) if planted is not None else nullcontext():
        request = bootstrap_request(config, ends, first_ms, until_ms)
        outcome = training.answer(config, request, table, None, key, seen_ms=last_ms)
    if outcome.model is None:
        raise RuntimeError(f"no model: {outcome.notice.reason}")
    public = key.public_key()
    return artifact.load(outcome.model, {artifact.key_id(public): public})


def trained(planted: Planted, events: Events, config: Config | None = None, plant: bool = False) -> Density:
    """The model of a planted stream's reference."""
    config = config or planted_config(planted, model={"flow": "mixture" if plant else "maf"})
    return train(config, keyed(events.span(0, planted.reference)), planted if plant else None)


@contextmanager
def _planting(planted: Planted) -> Iterator[None]:
    """The trainer plants instead of training; everything before and after is its own."""

    def learner(*_: object) -> Callable[[Flow, TrainingRows, TrainingRows, int], None]:
        return lambda flow, train, valid, seed: plant(flow, train, planted)

    with mock.patch.object(training.resuming, "learner", learner):
        yield


def plant(flow: Flow, train: TrainingRows, planted: Planted) -> None:
    """Give a mixture of one component the planted mean and covariance, in the encoder's units.

    The encoder's maps are affine in these columns: sd of the encoded training rows over the planted sd are its scales,
    their means its places. Gaps are independent of everything, no context; and so is a column that is constant.
    """
    assert isinstance(flow, Mixture)
    features = train.features.numpy().astype(np.float64)
    sd = np.sqrt(np.diag(planted.covariance()))
    scale = features.std(axis=0) / sd
    covariance = planted.covariance() * np.outer(scale, scale)
    covariance[np.diag_indices(planted.d)] += np.where(scale > 0, 1e-9, 1.0)
    rank = len(flow.projection)
    upper = np.eye(rank + planted.d)
    upper[rank:, rank:] = _whitening(covariance)
    means = np.r_[np.zeros(rank), features.mean(axis=0)]
    parts = (np.zeros(1), means[None], upper[None])
    flow._set(*(torch.from_numpy(part).to(torch.float32) for part in parts))


def _whitening(covariance: Floats) -> Floats:
    """Upper triangular U with ``(x − mean) @ U`` standard normal, column j from columns ≤ j."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)).T)


def watch(
    config: Config, density: Density, rows: Rows, start_ms: int = START_MS, points: bool = False, keep: bool = True
) -> Watched:
    """Send events through SCORE and WATCH, in one process.

    Args:
        config: the stream.
        density: the model in service from the first event on.
        rows: keyed bodies, in order.
        start_ms: of pane 0, for the numbers of panes.
        points: keep what goes to the sink.
        keep: keep the partials too; without them a long run takes little memory.
    """
    run, kept = LocalRun(config), list[Point]()
    run.pipeline.models.add(scored_by(config, density))
    run.start(density.model_id)
    for raw in batches(config, rows):
        new = run.feed(raw)
        if points:
            kept += new
        if not keep:
            for (role, _), sent in run.sent.items():
                if role not in ("signals", "evidence"):
                    sent.clear()
    return Watched(run, start_ms, [*_seen(run, start_ms)], kept)


def watch_again(config: Config, density: Density, watched: Watched) -> Watched:
    """WATCH alone, with other rules, on what SCORE sent in a run that kept its partials."""
    run = LocalRun(config)
    run.pipeline.models.add(scored_by(config, density))
    run.start(density.model_id)
    for partition in range(config.topics.partitions):
        sent = watched.run.sent["partials", partition]
        partials = [PartialMessage(i, message.value, message.headers) for i, message in enumerate(sent)]
        for message in run.pipeline.watch(partition, partials).messages:
            run.sent[message.role, message.partition].append(message)
    return Watched(run, watched.start_ms, [*_seen(run, watched.start_ms)])


def at_evidence(config: Config, level: float) -> Config:
    """The same stream with the promise whose floor is this evidence: the bench looks at single slices from it on."""
    promise = MONTH_MS / int(config.windows.pane) * len(config.rules) / level
    return msgspec.structs.replace(
        config, alerts=msgspec.structs.replace(config.alerts, false_incidents_per_month=promise)
    )


def _seen(run: LocalRun, start_ms: int) -> Iterator[Seen]:
    """What WATCH sent of slices, and what JUDGE makes of its sums, from the level of the configuration on."""
    config, layout = run.config, layout_of(run.config)
    references, findings = run.pipeline.models.references, Findings(config, layout)
    groups = {name: mixture.Mixture(config, rule, layout, floor(config, name)) for name, rule in config.rules.items()}
    shares, is_open, service = dict.fromkeys(config.rules, 1.0), set[tuple[str, str]](), ""

    def tell(candidate: Candidate, pane_start_ms: int) -> Iterator[Seen]:
        key = candidate.rule, candidate.slice
        if candidate.over != (key in is_open):
            return
        is_open.symmetric_difference_update({key})
        features = tuple(dict.fromkeys(name for cause in candidate.causes for name in cause.features))
        pane = (pane_start_ms - start_ms) // int(config.windows.pane)
        channels = tuple(cause.detector for cause in candidate.causes)
        yield Seen(pane, *key, "over" if candidate.over else "open", features, channels)

    for message in run.sent["evidence", 0]:
        record = decode_evidence(message.value, dict(message.headers))
        if isinstance(record, PaneEvidence):
            for candidate in findings.candidates(record, references, shares):
                yield from tell(candidate, record.pane_start_ms)
            continue
        service = record.service or service
        for rule, group in groups.items():
            for _ in group.update([], [], 1):
                for sums in record.groups if record.slices[config.slicing_names[0]] > 1 else ():
                    if sums.rule == rule:
                        group.add_group(0, references[sums.model_id][0], _sums(sums), record.pane_end_ms)
            found = group.settle()
            for i in range(len(found.numbers)):
                of = (rule, config.slicing_names[0], TOGETHER, service, found.columns, i)
                yield from tell(findings.candidate(*of, references[service][0], 1.0), record.pane_start_ms)


def _sums(sums: evidence.GroupSums) -> GroupSums:
    return GroupSums(*(np.frombuffer(part, "<f8") for part in (sums.events, sums.deviations, sums.unknown)))


def signals(run: LocalRun) -> Iterator[Record]:
    """The records on the signals topic, partition by partition."""
    for (role, _), sent in sorted(run.sent.items()):
        if role == "signals":
            for message in sent:
                record = decode_event(message.value, message.headers)
                if record is not None:
                    yield record


def watched(planted: Planted, events: Events, density: Density, config: Config | None = None) -> Watched:
    """A planted stream from the first monitored pane on, each of its rules at twice :data:`LEVEL`."""
    config = config or planted_config(planted)
    config = at_evidence(config, LEVEL * len(config.rules))
    return watch(config, density, keyed(events.span(planted.reference, planted.panes)), keep=False)
