"""The topics driftflow needs, and where each writer's records go on the signals topic.

One writer per signals partition, so that each partition is a total order: SCORE of source p writes to p, WATCH of
partials partition q to P + q, the trainer to the last one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from kafka.errors import KafkaError, for_code

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings

MODEL_BYTES_MAX = 16 * 1024 * 1024
"""Largest record on the models topic, which carries the weights."""

_UNKNOWN_TOPIC, _ALREADY_EXISTS = 3, 36


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


def admin_client(config: Config) -> Any:
    """A connected admin client; raises DriftflowError when the broker cannot be reached."""
    try:
        return KafkaAdminClient(**client_settings(config.kafka, config.root), bootstrap_timeout_ms=15_000)
    except KafkaError as error:
        where = ", ".join(config.kafka.bootstrap)
        raise DriftflowError(f"cannot use the broker at {where}: {error}") from error


def partition_counts(admin: Any, names: list[str]) -> dict[str, int]:
    """Partitions of those of the topics that exist; raises DriftflowError where one may not be described."""
    counts = {}
    for topic in admin.describe_topics(names):
        code, name = topic["error_code"], topic["name"]
        if code == 0:
            counts[name] = len(topic["partitions"])
        elif code != _UNKNOWN_TOPIC:
            raise DriftflowError(f"topic {name}: {for_code(code).__name__}")
    return counts


def ensure_topics(config: Config, admin: Any = None) -> dict[str, int]:
    """Create the topics that are missing and say how many partitions each has.

    Where the events topic exists already its own partition count is the one the others follow.

    Args:
        config: the configuration.
        admin: a kafka-python admin client; one is made and closed when None.

    Raises:
        DriftflowError: a topic cannot be created, or an existing one has too few partitions.
    """
    own = admin is None
    admin = admin or admin_client(config)
    try:
        return _ensure(config, admin)
    except KafkaError as error:
        raise DriftflowError(f"cannot create the topics: {error}") from error
    finally:
        if own:
            admin.close()


def prepare(config: Config, admin: Any = None) -> Config:
    """:func:`ensure_topics`, and the configuration with the partition count that the events topic really has."""
    n = ensure_topics(config, admin)[config.topics.events]
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, partitions=n))


def _ensure(config: Config, admin: Any) -> dict[str, int]:
    found = partition_counts(admin, list(topic_sizes(config, 1)))
    sizes = topic_sizes(config, found.get(config.topics.events, config.topics.partitions))
    for name, wanted in sizes.items():
        if found.get(name, wanted) < wanted:
            raise DriftflowError(
                f"topic {name} has {found[name]} partitions, {wanted} are needed: add partitions "
                f"(kafka-topics.sh --alter --topic {name} --partitions {wanted}) or name another topic"
            )
    missing = {name: size for name, size in sizes.items() if name not in found}
    if missing:
        _create(config, admin, missing)
    return sizes | found


def _create(config: Config, admin: Any, missing: dict[str, int]) -> None:
    new = [
        NewTopic(name, size, config.topics.replication, topic_configs=_settings(config, name))
        for name, size in missing.items()
    ]
    answer = admin.create_topics(new, raise_errors=False)
    for topic in answer["topics"]:
        # Two workers that start together both try: the second finds them there.
        if topic["error_code"] not in (0, _ALREADY_EXISTS):
            reason = topic["error_message"] or for_code(topic["error_code"]).__name__
            raise DriftflowError(f"topic {topic['name']} cannot be created: {reason}")
    admin.wait_for_topics(list(missing))


def _settings(config: Config, name: str) -> dict[str, str]:
    if name != config.topics.models:
        return {}
    return {"cleanup.policy": "compact", "max.message.bytes": str(MODEL_BYTES_MAX)}
