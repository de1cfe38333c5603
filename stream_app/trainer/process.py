"""The trainer: consumes retrain requests from the signals topic, answers each with a promoted or refused model.

Offsets are committed after the answer is on the models topic. A request that is read again after a crash resumes its
training and gives the same model, byte for byte; its second notice changes nothing. A private training is not
repeatable: it starts over, and costs its epsilon again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from flowlib.density import Density
from flowlib.table import DAY_MS
from schemas.codecs import DecodeError, decode_event
from schemas.records import ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.reading import log_ends
from stream_app.kafka.shape import record_shape
from stream_app.kafka.topics import prepare
from stream_app.models.keys import signing_key
from stream_app.models.registry import Entry, Registry, without_bytes
from stream_app.stages.partitioning import trainer_signals
from stream_app.terminal import on_stop_signals, prepare_process
from stream_app.trainer import dataset
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.publishing import make_producer, notice_message, publish
from stream_app.trainer.ranges import read_ranges
from stream_app.trainer.training import answer

log = logging.getLogger(__name__)

Tell = Callable[[str], None]


def run_trainer(config: Config, bootstrap_until: str | None, tell: Tell) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Args:
        config: the stream.
        bootstrap_until: first train a model on the topic's events before this time.
        tell: takes a line for the person who watches.

    Raises:
        ModelError: a key or the model in service is missing or damaged.
        PreflightError: the broker cannot be used as configured.
        DriftflowError: the registry is damaged, or the broker no longer answers.
    """
    prepare_process()
    signing_key(config)
    if not bootstrap_until:
        Registry(config).current()  # what is wrong on this machine is said at once, and not at the first request
    require(preflight(config, "trainer"))
    try:
        _run(config, bootstrap_until, tell)
    except KafkaError as error:
        where = ", ".join(config.kafka.bootstrap)
        raise DriftflowError(
            f"the broker at {where} refuses or does not answer: {error}; look at its log, then start the trainer again"
        ) from error


def _run(config: Config, bootstrap_until: str | None, tell: Tell) -> None:
    config = prepare(config)
    record_shape(config)
    client = client_settings(config.kafka, config.root)
    trainer = Trainer(config, client, tell)
    on_stop_signals(trainer.stop)
    if bootstrap_until:
        until_ms = bootstrap_until_ms(config, bootstrap_until)
        trainer.handle(bootstrap_request(config, log_ends(config, client), 0, until_ms))
        Registry(config).current()
    tell("waiting for retrain requests")
    trainer.run()


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
        self._stopping = False

    def stop(self) -> None:
        """Finish the request in hand and return from :meth:`run`."""
        self._stopping = True

    def run(self) -> None:
        """Answer requests until stopped."""
        consumer = KafkaConsumer(
            self._config.topics.signals,
            **self._client,
            group_id=f"{self._config.kafka.group}-trainer",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=50,
            session_timeout_ms=max(int(self._config.kafka.session_timeout), 6_000),
            max_poll_interval_ms=3_600_000,
        )
        try:
            while not self._stopping:
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
        reason = self._covered(request)
        if reason:
            self._tell(f"request {request.id[:8]} needs no new model: {reason}")
            return None
        self._tell(
            f"request {request.id[:8]} ({request.reason}, {', '.join(request.slices) or 'all'}): reading the rows"
        )
        batches = list(read_ranges(self._config, request.train, self._client))
        spans = [(r.start_ms, r.end_ms) for r in request.train] or [(0, 0)]
        rows = dataset.gather(batches, min(start for start, _ in spans), max(end for _, end in spans))
        self._tell(f"training on {len(rows):,} rows")
        in_service, checkpoint = self._in_service(request), CheckpointFile(self._config)
        outcome = answer(self._config, request, rows, in_service, self._key, checkpoint=checkpoint)
        for finding in outcome.findings:
            self._tell(f"found: {finding}")
        self._publish(request, outcome)
        return outcome.notice

    def _in_service(self, request: RetrainRequest) -> Density | None:
        """The model that a candidate must beat. A bootstrap is the way out where that one cannot be used any more,
        because the features have changed, say; any other request ends in the ModelError that says so.
        """
        try:
            return self._registry.current()
        except ModelError as error:
            if request.reason != "bootstrap":
                raise
            self._tell(f"the model in service is not compared with: {error}")
            return None

    def _covered(self, request: RetrainRequest) -> str:
        """Why a request needs no model of its own, or "": a promotion answers the requests of the next cooldown too."""
        history = self._registry.history()
        if any(entry.request_id == request.id for entry in history):
            return "it has been answered already"
        cooldown = int(self._config.retrain.cooldown)
        soon = bool(history) and request.requested_pane_ms < history[-1].promoted_ms + cooldown
        if soon and request.model_id != history[-1].model_id:
            return f"model {request.model_id or 'none'} has been replaced by {history[-1].model_id} since"
        last_day = [e for e in history if e.promoted_ms > request.requested_pane_ms - DAY_MS]
        if len(last_day) >= self._config.trainer.budget_per_day:
            return f"the budget of {self._config.trainer.budget_per_day} models a day is spent"
        return ""

    def _publish(self, request: RetrainRequest, outcome: Outcome) -> None:
        """Save, publish, then write down as promoted: after a crash in between the request is answered again, alike."""
        notice, topics = outcome.notice, self._config.topics
        if outcome.model is not None:
            self._registry.save(outcome.model)
        self._registry.record(notice)
        publish(self._producer, self._config, notice)
        message = notice_message(self._config, without_bytes(notice))
        key, partition = notice.model_id.encode(), trainer_signals(topics.partitions)
        self._producer.send(
            topics.signals, key=key, value=message.value, headers=list(message.headers), partition=partition
        ).get(timeout=60)
        if outcome.model is not None:
            self._registry.promote(Entry(notice.model_id, request.id, request.requested_pane_ms))
        self._tell(f"model {notice.model_id} {notice.status}: {notice.reason}")
