"""The trainer: consumes retrain requests from the signals topic, answers each with a promoted or refused model.

Offsets are committed after the answer is on the models topic. A request that is read again after a crash resumes its
training and gives the same model, byte for byte; its second notice changes nothing. A private training is not repeatable:
it starts over, and costs its epsilon again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer

from schemas.codecs import DecodeError, WireMessage, decode_event, encode_event
from schemas.records import ModelNotice, OffsetRange, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.runtime.topics import signals_partition_for_trainer
from stream_app.trainer import dataset
from stream_app.trainer.registry import Entry, Registry, signing_key, without_bytes
from stream_app.trainer.resuming import CheckpointFile
from stream_app.trainer.source import read_ranges
from stream_app.trainer.training import Outcome, answer

log = logging.getLogger(__name__)

Tell = Callable[[str], None]


class Trainer:
    """One trainer for a stream.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        tell: takes a line for the person who watches.
    """

    def __init__(self, config: Config, client: dict[str, Any], tell: Tell = log.info) -> None:
        self._config, self._client, self._tell = config, client, tell
        self._key = signing_key(config)
        self._registry = Registry(config)
        self._producer = make_producer(client)
        self._stop = False

    def stop(self) -> None:
        """Finish the request in hand and return from :meth:`run`."""
        self._stop = True

    def run(self) -> None:
        """Answer requests until stopped."""
        consumer = KafkaConsumer(
            self._config.topics.signals, **self._client, group_id=f"{self._config.kafka.group}-trainer",
            auto_offset_reset="earliest", enable_auto_commit=False, max_poll_records=50,
            session_timeout_ms=max(int(self._config.kafka.session_timeout), 6_000), max_poll_interval_ms=3_600_000,
        )  # fmt: skip
        try:
            while not self._stop:
                fetched = consumer.poll(timeout_ms=300)
                requests = [r for records in fetched.values() for r in map(self._request, records) if r is not None]
                for request in sorted(requests, key=lambda r: (r.requested_pane_ms, r.id)):
                    self.handle(request)
                if fetched:
                    consumer.commit()
        finally:
            consumer.close()
            self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._producer.close()

    def _request(self, record: Any) -> RetrainRequest | None:
        try:
            signal = decode_event(record.value, record.headers)
        except DecodeError as error:
            log.error("%s/%d@%d is skipped: %s", record.topic, record.partition, record.offset, error)
            return None
        return signal if isinstance(signal, RetrainRequest) and signal.stream == self._config.stream else None

    def handle(self, request: RetrainRequest) -> ModelNotice | None:
        """Answer a request; None when an earlier answer covers it."""
        why = self._covered(request)
        if why:
            self._tell(f"request {request.id[:8]} needs no new model: {why}")
            return None
        self._tell(
            f"request {request.id[:8]} ({request.reason}, {', '.join(request.slices) or 'all'}): reading the rows"
        )
        batches = list(read_ranges(self._config, request.train, self._client))
        spans = [(r.start_ms, r.end_ms) for r in request.train] or [(0, 0)]
        rows = dataset.gather(batches, min(start for start, _ in spans), max(end for _, end in spans))
        self._tell(f"training on {len(rows):,} rows")
        outcome = answer(
            self._config, request, rows, self._registry.current(), self._key, checkpoint=CheckpointFile(self._config)
        )
        for finding in outcome.findings:
            self._tell(f"found: {finding}")
        self._publish(request, outcome)
        return outcome.notice

    def _covered(self, request: RetrainRequest) -> str:
        """Requests of one episode come from several slices: the first promotion answers those of the next cooldown."""
        history = self._registry.history()
        if any(entry.request_id == request.id for entry in history):
            return "it has been answered already"
        cooldown = int(self._config.retrain.cooldown)
        soon = bool(history) and request.requested_pane_ms < history[-1].promoted_ms + cooldown
        if soon and request.model_id != history[-1].model_id:
            return f"model {request.model_id or 'none'} has been replaced by {history[-1].model_id} since"
        day = [e for e in history if e.promoted_ms > request.requested_pane_ms - dataset.DAY_MS]
        if len(day) >= self._config.trainer.budget_per_day:
            return f"the budget of {self._config.trainer.budget_per_day} models a day is spent"
        return ""

    def _publish(self, request: RetrainRequest, outcome: Outcome) -> None:
        """Keep, publish, then write down as promoted: after a crash in between the request is answered again, alike."""
        notice, topics = outcome.notice, self._config.topics
        if outcome.made is not None:
            self._registry.save(outcome.made)
        self._registry.note(notice)
        publish(self._producer, self._config, notice)
        message = _message(self._config, without_bytes(notice))
        key, partition = notice.model_id.encode(), signals_partition_for_trainer(topics.partitions)
        self._producer.send(
            topics.signals, key=key, value=message.value, headers=list(message.headers), partition=partition
        ).get(timeout=60)
        if outcome.made is not None:
            self._registry.promote(Entry(notice.model_id, request.id, request.requested_pane_ms))
        self._tell(f"model {notice.model_id} {notice.status}: {notice.reason}")


def publish(producer: KafkaProducer, config: Config, notice: ModelNotice) -> None:
    """Put a model, its bytes included, on the compacted models topic."""
    message = _message(config, notice)
    producer.send(
        config.topics.models,
        key=notice.model_id.encode(),
        value=message.value,
        headers=list(message.headers),
        partition=0,
    ).get(timeout=60)


def publish_registry(config: Config, client: dict[str, Any]) -> list[str]:
    """Publish every promoted model of the registry again, oldest first: for a new cluster, or a replay.

    Returns:
        the ids.
    """
    registry, producer = Registry(config), make_producer(client)
    promoted = [notice for notice in registry.notices() if notice.status == "promoted"]
    try:
        for notice in promoted:
            made = registry.read(notice.model_id)
            parts = {"manifest": made.manifest, "tensors": made.tensors, "signature": made.signature}
            publish(producer, config, msgspec.structs.replace(notice, **parts))
    finally:
        producer.close()
    return [notice.model_id for notice in promoted]


def make_producer(client: dict[str, Any]) -> KafkaProducer:
    """A producer for models: one request in flight keeps their order on brokers without idempotence."""
    return KafkaProducer(
        **client, acks="all", retries=10, max_in_flight_requests_per_connection=1, enable_idempotence=False,
        max_request_size=64 * 1024 * 1024,
    )  # fmt: skip


def _message(config: Config, notice: ModelNotice) -> WireMessage:
    event_id = record_id("model-notice", notice.model_id, notice.request_id)
    source = f"/driftflow/{config.stream}/trainer"
    return encode_event(notice, event_id=event_id, source=source, time_ms=notice.created_ms, subject=notice.model_id)


def bootstrap_request(config: Config, ends: dict[int, int], start_ms: int, end_ms: int) -> RetrainRequest:
    """The request for a first model, from what is on the events topic.

    Args:
        config: the stream.
        ends: partition to the offset to read up to.
        start_ms, end_ms: event time of the rows wanted.
    """
    topic = config.topics.events
    train = [
        OffsetRange(topic=topic, partition=p, start=0, end=end, start_ms=start_ms, end_ms=end_ms)
        for p, end in sorted(ends.items())
    ]
    return RetrainRequest(
        id=record_id("bootstrap", config.stream, topic, sorted(ends.items()), start_ms, end_ms), stream=config.stream,
        reason="bootstrap", slices=[], alerts=[], model_id="", requested_pane_ms=end_ms, train=train,
        calibrate_from_ms=start_ms,
    )  # fmt: skip
