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

import numpy as np
import torch

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.flows import Flow, Mixture
from flowlib.table import Floats
from flowlib.training import TrainingRows
from schemas.codecs import decode_event
from schemas.records import Alert, Record, RetrainRequest
from stream_app.config import Config
from stream_app.config.loading import parse
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.batches import PartialMessage
from stream_app.stages.outputs import Point
from stream_app.stages.score.decoding import Decoder
from stream_app.trainer import dataset, training
from stream_app.trainer.bootstrap import bootstrap_request
from tests.bench.detect.streams import START_MS, Events, Planted

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
    """An alert.

    Attributes:
        pane: number of the pane at whose end it was sent, from the stream's first on.
        features: those blamed, the first one most; a pair counts as its two members.
        channels: what the blame names beside each: ``location``, ``missing`` … ; of one without blame its evidence.
        alert: as it was sent.
    """

    pane: int
    features: tuple[str, ...]
    channels: tuple[str, ...]
    alert: Alert

    @classmethod
    def of(cls, alert: Alert, start_ms: int, pane_ms: int) -> Seen:
        """Read an alert."""
        features = tuple(dict.fromkeys(f for blame in alert.blame for f in blame.feature.split("~") if f))
        details = tuple(blame.detail for blame in alert.blame if blame.detail)
        return cls((alert.pane_start_ms - start_ms) // pane_ms, features, (alert.detector, *details), alert)


@dataclass(frozen=True)
class Watched:
    """What came of a run.

    Attributes:
        run: the run, with its pipeline and everything that was sent.
        start_ms: of pane 0.
        alerts: in the order in which they were sent.
        requests: for a model.
        points: for the sink, where they were asked for.
    """

    run: LocalRun
    start_ms: int
    alerts: list[Seen]
    requests: list[RetrainRequest]
    points: list[Point] = field(default_factory=list)

    def opened(self) -> list[Seen]:
        """Alerts that opened an incident."""
        return [seen for seen in self.alerts if seen.alert.state == "open"]


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
    table = dataset.gather(events, first_ms, until_ms)
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
                if role != "signals":
                    sent.clear()
    return _watched(run, start_ms, kept)


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
    return _watched(run, watched.start_ms)


def _watched(run: LocalRun, start_ms: int, points: Sequence[Point] = ()) -> Watched:
    records, pane_ms = list(signals(run)), int(run.config.windows.pane)
    alerts = [Seen.of(r, start_ms, pane_ms) for r in records if isinstance(r, Alert)]
    return Watched(run, start_ms, alerts, [r for r in records if isinstance(r, RetrainRequest)], list(points))


def signals(run: LocalRun) -> Iterator[Record]:
    """The records on the signals topic, partition by partition."""
    for (role, _), sent in sorted(run.sent.items()):
        if role == "signals":
            for message in sent:
                record = decode_event(message.value, message.headers)
                if record is not None:
                    yield record


def watched(planted: Planted, events: Events, density: Density, config: Config | None = None) -> Watched:
    """A planted stream from the first monitored pane on."""
    config = config or planted_config(planted)
    return watch(config, density, keyed(events.span(planted.reference, planted.panes)), keep=False)
