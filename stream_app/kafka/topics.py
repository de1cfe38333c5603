"""The topics driftflow needs, and where each writer's records go on the signals topic.

One writer per signals partition, so that each partition is a total order: SCORE of source p writes to p, WATCH of
partials partition q to P + q, the trainer to the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from kafka.errors import (
    KafkaError,
    NoError,
    NotControllerError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from schemas.records import MODEL_BYTES_MAX
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.types import Admin, TopicAnswer, TopicDescription


def signals_partitions(n_events: int) -> int:
    """Partitions of the signals topic beside ``n_events`` partitions of events (and as many of partials)."""
    return 2 * n_events + 1


def signals_partition_for_trainer(n_events: int) -> int:
    """Partition that the trainer writes to."""
    return 2 * n_events


def topic_sizes(config: Config, n_events: int) -> dict[str, int]:
    """Partitions that each topic should have, events topic first."""
    topics = config.topics
    return {
        topics.events: n_events,
        topics.partials: n_events,
        topics.signals: signals_partitions(n_events),
        topics.models: 1,
        topics.dead_letters: 1,
    }


def describe(admin: Admin, names: Iterable[str]) -> dict[str, TopicDescription]:
    """What the broker says of each topic; asked again while it cannot tell.

    Raises:
        KafkaError: the broker does not answer, or cannot tell for too long.
    """
    return retried(lambda: _described(admin, list(names)))


def _described(admin: Admin, names: list[str]) -> dict[str, TopicDescription]:
    topics = {topic["name"]: topic for topic in admin.describe_topics(names)}
    for name, topic in topics.items():
        error = for_code(topic["error_code"])
        if error.retriable and error is not UnknownTopicOrPartitionError:  # which is the answer: there is no such topic
            raise error(f"topic {name}")
    return topics


def is_missing(topic: TopicDescription) -> bool:
    """Whether the broker knows no such topic."""
    return for_code(topic["error_code"]) is UnknownTopicOrPartitionError


def create(config: Config, admin: Admin, sizes: Mapping[str, int], validate_only: bool = False) -> dict[str, str]:
    """Ask for new topics; say why the broker refuses those that it does not create.

    Args:
        config: the stream.
        admin: an admin client.
        sizes: partitions of each topic to create.
        validate_only: create nothing, only ask whether it could be done.

    Returns:
        the reason for each topic that is refused. One that another worker has just created is none.

    Raises:
        KafkaError: the broker does not answer, or is not ready for too long.
    """
    answers = retried(lambda: _answers(config, admin, sizes, validate_only))
    refused = [topic for topic in answers if for_code(topic["error_code"]) not in (NoError, TopicAlreadyExistsError)]
    return {topic["name"]: topic["error_message"] or for_code(topic["error_code"]).__name__ for topic in refused}


def _answers(config: Config, admin: Admin, sizes: Mapping[str, int], validate_only: bool) -> list[TopicAnswer]:
    copies = config.topics.replication
    new = [NewTopic(name, size, copies, topic_configs=_settings(config, name)) for name, size in sizes.items()]
    try:
        answer = admin.create_topics(new, validate_only=validate_only, raise_errors=False)
    except RuntimeError as error:  # kafka-python: two brokers in turn said that they are not the controller
        raise NotControllerError(str(error)) from error
    topics = list(answer["topics"])
    for topic in topics:
        if for_code(topic["error_code"]).retriable:
            raise for_code(topic["error_code"])(f"topic {topic['name']}")
    return topics


def _settings(config: Config, name: str) -> dict[str, str]:
    if name != config.topics.models:
        return {}
    return {"cleanup.policy": "compact", "max.message.bytes": str(MODEL_BYTES_MAX)}


def ensure_topics(config: Config) -> dict[str, int]:
    """Create the topics that are missing and say how many partitions each has.

    Where the events topic exists already its own partition count is the one the others follow.

    Raises:
        DriftflowError: the broker cannot be reached, a topic cannot be created, or one has too few partitions.
    """
    try:
        admin = KafkaAdminClient(**client_settings(config.kafka, config.root), bootstrap_timeout_ms=15_000)
    except KafkaError as error:
        where = ", ".join(config.kafka.bootstrap)
        raise DriftflowError(f"cannot use the broker at {where}: {error}") from error
    try:
        return _ensure(config, admin)
    except KafkaError as error:
        raise DriftflowError(f"cannot create the topics: {told(error)}") from error
    finally:
        admin.close()


def _ensure(config: Config, admin: Admin) -> dict[str, int]:
    existing = _partition_counts(admin, list(topic_sizes(config, 1)))
    sizes = topic_sizes(config, existing.get(config.topics.events, config.topics.partitions))
    for name, wanted in sizes.items():
        if existing.get(name, wanted) < wanted:
            raise DriftflowError(
                f"topic {name} has {existing[name]} partitions, {wanted} are needed: add partitions "
                f"(kafka-topics.sh --alter --topic {name} --partitions {wanted}) or name another topic"
            )
    missing = {name: size for name, size in sizes.items() if name not in existing}
    if missing:
        for name, reason in create(config, admin, missing).items():
            raise DriftflowError(f"topic {name} cannot be created: {reason}")
        admin.wait_for_topics(list(missing))
    return sizes | existing


def _partition_counts(admin: Admin, names: list[str]) -> dict[str, int]:
    """Partitions of those of the topics that exist."""
    counts = {}
    for name, topic in describe(admin, names).items():
        error = for_code(topic["error_code"])
        if error is NoError:
            counts[name] = len(topic["partitions"])
        elif not is_missing(topic):
            raise DriftflowError(f"topic {name} cannot be described: {error.__name__}")
    return counts


def prepare(config: Config) -> Config:
    """:func:`ensure_topics`, and the configuration with the partition count that the events topic really has."""
    n = ensure_topics(config)[config.topics.events]
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, partitions=n))
