"""Model notices onto the models topic, signed bytes included."""

from __future__ import annotations

from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console

from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.records import ModelNotice, record_id
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import prepare
from stream_app.models.registry import Registry


def make_producer(client: dict[str, Any]) -> KafkaProducer:
    """A producer for models: one request in flight keeps their order on brokers without idempotence."""
    return KafkaProducer(
        **client,
        acks="all",
        retries=10,
        max_in_flight_requests_per_connection=1,
        enable_idempotence=False,
        max_request_size=64 * 1024 * 1024,
    )


def publish(producer: KafkaProducer, config: Config, notice: ModelNotice) -> None:
    """Put a model, its bytes included, on the compacted models topic."""
    message = notice_message(config, notice)
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

    Raises:
        ModelError: a model's file is missing, damaged or not signed by a trusted key; nothing is published.
        DriftflowError: the broker does not take a model.
    """
    registry = Registry(config)
    promoted = [notice for notice in registry.notices() if notice.status == "promoted"]
    for notice in promoted:
        registry.check(notice.model_id)
    try:
        producer = make_producer(client)
        try:
            for notice in promoted:
                model = registry.read(notice.model_id)
                parts = {"manifest": model.manifest, "tensors": model.tensors, "signature": model.signature}
                publish(producer, config, msgspec.structs.replace(notice, **parts))
        finally:
            producer.close()
    except KafkaError as error:
        raise DriftflowError(f"{config.topics.models} cannot be written: {error}; check kafka.bootstrap") from error
    return [notice.model_id for notice in promoted]


def publish_models(config: Config, err: Console) -> None:
    """Put the registry's promoted models on the models topic."""
    config = prepare(config)
    for model_id in publish_registry(config, client_settings(config.kafka, config.root)):
        err.print(f"model {model_id} is on {config.topics.models}")


def notice_message(config: Config, notice: ModelNotice) -> WireMessage:
    """A notice as a CloudEvent."""
    event_id = record_id("model-notice", notice.model_id, notice.request_id)
    source = f"/driftflow/{config.stream}/trainer"
    return encode_event(Envelope(notice, event_id, source, notice.created_ms, notice.model_id))
