"""Genuine messages of a stream on a broker, and the clean run that its signals are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import WireMessage
from schemas.incidents import Action
from schemas.records import record_id
from schemas.signing import is_signature
from stream_app.config import Config
from stream_app.disk import read_lines
from stream_app.kafka.actions import action_message
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end
from stream_app.models.keys import operator_key, request_key, signing_key
from stream_app.models.keys.commands import new_key
from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from stream_app.offline.replay import BATCH_ROWS, LocalRun, batches
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import DECODER, REMEDY, models_of
from stream_app.stages.outputs import Outgoing
from stream_app.trainer.publishing import notice_message
from tests.hostile.world import Genuine

Place = tuple[str, int, int]
"""Topic, partition, offset."""

Sent = dict[int, list[tuple[dict[str, bytes], bytes]]]
"""Signals partition to headers, signatures aside, and value of each signal, in order."""


class Live:
    """What a stream sends, made here from its first rows with its models: a :class:`~tests.hostile.world.Source`."""

    def __init__(self, config: Config, rows: list[tuple[bytes | None, bytes | None]]) -> None:
        self._config, self._rows = config, rows
        self.stranger = Ed25519PrivateKey.generate()
        new_key(config, "operator")
        self._workers, self._trainer, self._operator = request_key(config), signing_key(config), operator_key(config)
        run = _run_of(config, None)
        for raw in batches(config, rows):
            run.feed(raw)
        self._sent = [message for messages in run.sent.values() for message in messages]

    def events(self) -> Iterator[Genuine]:
        """The first row."""
        yield Genuine("event", self._rows[0][1] or b"", ())

    def blocks_and_markers(self) -> Iterator[Genuine]:
        """A block and a marker."""
        for kind in ("block", "closed"):
            yield from self._first("partials", "kind", kind, kind, packed=True)

    def signals(self) -> Iterator[Genuine]:
        """Each kind of record that the workers have sent, and a notice."""
        for kind in ("incident", "event-anomaly", "activation"):
            yield from self._first("signals", "ce_type", f"driftflow.{kind}.v1", kind)
        for good in self._first("signals", "ce_type", "driftflow.retrain-request.v1", "retrain-request"):
            message = sign(WireMessage(good.value, good.headers), self._workers)
            yield Genuine(good.name, message.value, message.headers, key=self._workers)
        yield from self.models()

    def evidence(self) -> Iterator[Genuine]:
        """Evidence and a marker."""
        for kind in ("evidence", "judge"):
            yield from self._first("evidence", "kind", kind, kind, packed=True)

    def actions(self) -> Iterator[Genuine]:
        """What an operator says of whatever began near it."""
        action = Action(
            id=record_id("live", 1), stream=self._config.stream, verb="mark", by="ann", at_ms=5, why="release 4.2"
        )
        message = sign(action_message(action), self._operator)
        yield Genuine("mark", message.value, message.headers, key=self._operator)

    def models(self) -> Iterator[Genuine]:
        """The notices of the registry, with their models."""
        registry = Registry(self._config)
        for notice in registry.notices()[:1]:
            message = notice_message(self._config, registry.whole(notice), self._trainer)
            yield Genuine(f"{notice.status} notice", message.value, message.headers, key=self._trainer)

    def _first(self, role: str, header: str, wanted: str, name: str, packed: bool = False) -> Iterator[Genuine]:
        for message in self._sent:
            if message.role == role and dict(message.headers).get(header) == wanted.encode():
                yield Genuine(name, message.value, message.headers, packed)
                return


def clean_run(config: Config, left_out: set[Place]) -> Sent:
    """The signals of the events on the topic, less some, under the stream's decisions: no broker, nothing hostile."""
    run = _run_of(config, read_lines(config.path(config.state.dir) / "decisions.jsonl", DECODER, REMEDY))
    for raw in _events(config, left_out):
        run.feed(raw)
    return {
        partition: [plain(message) for message in messages]
        for (role, partition), messages in sorted(run.sent.items())
        if role == "signals"
    }


def plain(message: Outgoing | WireMessage | Any) -> tuple[dict[str, bytes], bytes]:
    """Headers, signatures aside, and value."""
    return {name: value for name, value in message.headers if not is_signature(name)}, message.value


def _run_of(config: Config, decisions: list[Any] | None) -> LocalRun:
    """A run with the registry's models, or with those that the decisions name."""
    run, registry = LocalRun(config, decisions or ()), Registry(config)
    promoted = [entry.model_id for entry in registry.history()]
    for model_id in sorted(models_of(decisions)) if decisions else promoted[:1]:
        run.pipeline.models.add(scored_by(config, registry.load(model_id)))
    run.start(next(iter(run.pipeline.models.densities)))
    return run


def _events(config: Config, left_out: set[Place]) -> Iterator[RawBatch]:
    topic = config.topics.events
    consumer = KafkaConsumer(**client_settings(config.kafka), auto_offset_reset="earliest")
    try:
        for number in sorted(consumer.partitions_for_topic(topic) or ()):
            consumer.assign([TopicPartition(topic, number)])
            consumer.seek_to_beginning()
            kept = [r for r in read_to_end(consumer) if (topic, number, r.offset) not in left_out]
            for start in range(0, len(kept), BATCH_ROWS):
                some = kept[start : start + BATCH_ROWS]
                offsets = np.array([record.offset for record in some], dtype=np.int64)
                yield RawBatch(topic, number, offsets, [record.value for record in some])
    finally:
        consumer.close()
