"""Model notices onto their topics, signed whole: with the model's bytes onto the models topic, without as a signal."""

from __future__ import annotations

from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.records import ModelNotice, record_id
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.signal_schemas import SignalFrames
from stream_app.kafka.topics import prepare
from stream_app.kafka.types import ClientSettings
from stream_app.models.keys import signing_key
from stream_app.models.keys.roles import trusted_paths
from stream_app.models.keys.trust import revoked_keys
from stream_app.models.registry import Registry, without_bytes
from stream_app.models.signing import sign
from stream_app.stages.partitioning import trainer_signals

SENT_S = 60.0
"""How long a broker may take to acknowledge one message."""


def make_producer(client: ClientSettings) -> KafkaProducer:
    """A producer for models: one request in flight keeps their order on brokers without idempotence."""
    return KafkaProducer(
        **client,
        acks="all",
        retries=10,
        max_block_ms=20_000,
        max_in_flight_requests_per_connection=1,
        enable_idempotence=False,
        max_request_size=64 * 1024 * 1024,
    )


def notice_message(config: Config, notice: ModelNotice, key: Ed25519PrivateKey) -> WireMessage:
    """A notice as a signed CloudEvent; the same notice and key give the same bytes."""
    event_id = record_id("model-notice", notice.model_id, notice.request_id, notice.status)
    source = f"/driftflow/{config.stream}/trainer"
    return sign(encode_event(Envelope(notice, event_id, source, notice.created_ms, notice.model_id)), key)


def publish(producer: KafkaProducer, config: Config, notice: ModelNotice, key: Ed25519PrivateKey | None = None) -> None:
    """Put a model, its bytes included, on the compacted models topic.

    Args:
        producer: of :func:`make_producer`.
        config: the stream.
        notice: with its number and the model's bytes.
        key: signs it; None is the trainer's.

    Raises:
        KafkaError: the broker does not acknowledge it in time.
    """
    _send(producer, config.topics.models, 0, notice, notice_message(config, notice, key or signing_key(config)))


def tell(
    producer: KafkaProducer, config: Config, notice: ModelNotice, key: Ed25519PrivateKey, frames: SignalFrames
) -> None:
    """Put a notice, without the model's bytes, on the trainer's partition of the signals topic; raises KafkaError."""
    message, topic = notice_message(config, without_bytes(notice), key), config.topics.signals
    sent = WireMessage(frames.value(topic, message.value, message.headers), message.headers)
    _send(producer, topic, trainer_signals(config.topics.partitions), notice, sent)


def _send(producer: KafkaProducer, topic: str, partition: int, notice: ModelNotice, message: WireMessage) -> None:
    producer.send(
        topic, key=notice.model_id.encode(), value=message.value, headers=list(message.headers), partition=partition
    ).get(timeout=SENT_S)


def publish_registry(config: Config, client: ClientSettings) -> list[str]:
    """Publish every promoted model of the registry again, oldest first, each under its number and signed anew: for a
    new cluster, a new key, or a replay. Earlier ones that a revoked key has signed are left out, as nobody takes them.

    Returns:
        the ids.

    Raises:
        ModelError: a model's file is missing, damaged or not signed by a trusted key; nothing is published.
        DriftflowError: the broker does not take a model.
    """
    key, registry = signing_key(config), Registry(config)
    promoted = _not_revoked(config, registry)
    for notice in promoted:
        registry.check(notice.model_id)
    try:
        producer = make_producer(client)
        try:
            for notice in promoted:
                publish(producer, config, registry.whole(notice), key)
        finally:
            producer.close()
    except KafkaError as error:
        raise DriftflowError(f"{config.topics.models} cannot be written: {error}; check kafka.bootstrap") from error
    return [notice.model_id for notice in promoted]


def _not_revoked(config: Config, registry: Registry) -> list[ModelNotice]:
    """Promoted notices, oldest first; the last one in any case."""
    promoted = [notice for notice in registry.notices() if notice.status == "promoted"]
    revoked = revoked_keys(trusted_paths(config)["state.trusted_keys"])
    earlier = [notice for notice in promoted[:-1] if registry.read(notice.model_id).key_id not in revoked]
    return [*earlier, *promoted[-1:]]


def publish_models(config: Config, err: Console) -> None:
    """Put the registry's promoted models on the models topic."""
    config = prepare(config)
    for model_id in publish_registry(config, client_settings(config.kafka, config.root)):
        err.print(f"model {model_id} is on {config.topics.models}")
