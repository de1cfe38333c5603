"""The topics driftflow needs: made where they are missing, enlarged where the events topic has grown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from kafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
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
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.shape import recorded_width
from stream_app.kafka.types import Admin, TopicAnswer, TopicDescription
from stream_app.stages.partitioning import signals_size

log = logging.getLogger(__name__)

KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""Settings of a topic that is kept for good: what people have said stays to be seen, and decisions to be repeated."""

COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(32 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "60000",
    "delete.retention.ms": "3600000",
}
"""Settings of the topic of states: without them the broker keeps what was replaced for days, and whoever takes a
partition over reads all of it."""


def counted(config: Config, existing: Mapping[str, int]) -> tuple[int, int]:
    """Source partitions and partials partitions of a stream.

    The number of partials partitions is the one that was written down at its first start, when it is the smaller of the
    two: slices are spread over it and must not move when a topic grows.

    Args:
        config: the stream.
        existing: partitions of the topics that exist.

    Raises:
        SnapshotError: what was written down cannot be read.
    """
    recorded = recorded_width(config)
    sources = existing.get(config.topics.events) or max(config.topics.partitions, recorded or 0)
    return sources, recorded or min(sources, existing.get(config.topics.partials, sources))


def topic_sizes(config: Config, sources: int, width: int) -> dict[str, int]:
    """Partitions that each topic needs at least, events topic first.

    Args:
        config: the stream.
        sources: partitions of the events topic.
        width: partials partitions.
    """
    topics = config.topics
    return {
        topics.events: max(sources, width),
        topics.partials: width,
        topics.evidence: 1,
        topics.signals: signals_size(sources, width),
        topics.models: 1,
        topics.actions: 1,
        topics.dead_letters: 1,
        topics.decisions: 1,
        **({topics.state: width} if config.state.store == "kafka" else {}),
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
    return _settled(answer["topics"])


def _settled(answers: Iterable[TopicAnswer]) -> list[TopicAnswer]:
    """The answers; raises the first that is retriable."""
    topics = list(answers)
    for topic in topics:
        if for_code(topic["error_code"]).retriable:
            raise for_code(topic["error_code"])(f"topic {topic['name']}")
    return topics


def _settings(config: Config, name: str) -> dict[str, str]:
    topics = config.topics
    return {
        topics.models: {"cleanup.policy": "compact", "max.message.bytes": str(MODEL_BYTES_MAX)},
        topics.actions: KEPT,
        topics.decisions: KEPT,
        topics.state: COMPACTED,
    }.get(name, {})


def add_partitions(admin: Admin, sizes: Mapping[str, int], validate_only: bool = False) -> dict[str, str]:
    """Ask for topics to be enlarged to these sizes; say why the broker refuses those that it does not enlarge.

    Args:
        admin: an admin client.
        sizes: partitions that each topic should have.
        validate_only: enlarge nothing, only ask whether it could be done.
    """
    if not sizes:
        return {}
    try:
        answers = retried(lambda: _enlarged(admin, sizes, validate_only))
    except KafkaError as error:  # a broker that does not know the request, say
        return dict.fromkeys(sizes, told(error))
    refused = [topic for topic in answers if for_code(topic["error_code"]) is not NoError]
    return {topic["name"]: topic["error_message"] or for_code(topic["error_code"]).__name__ for topic in refused}


def _enlarged(admin: Admin, sizes: Mapping[str, int], validate_only: bool) -> list[TopicAnswer]:
    try:
        answer = admin.create_partitions(sizes, validate_only=validate_only, raise_errors=False)
    except RuntimeError as error:  # as for new topics
        raise NotControllerError(str(error)) from error
    return _settled(
        {"name": result.name, "error_code": result.error_code, "error_message": result.error_message}
        for result in answer.results
    )


def left_alone(config: Config, short: Iterable[str]) -> dict[str, str]:
    """Those of the topics that driftflow does not enlarge itself, each with the reason."""
    events = config.topics.events
    reasons = {name: "a topic cannot shrink: it was made anew" for name in short if name == events}
    if recorded_width(config) is None:  # a name in the configuration may be a slip: no topic of others is changed
        reasons |= {name: "the stream has never run, so it may be another's" for name in short if name not in reasons}
    return reasons


def commands(config: Config, sizes: Mapping[str, int]) -> str:
    """What an operator runs to enlarge topics to these sizes."""
    tool = f"kafka-topics.sh --bootstrap-server {config.kafka.bootstrap[0]} --alter"
    return "; ".join(f"{tool} --topic {name} --partitions {size}" for name, size in sizes.items())


def ensure_topics(config: Config) -> dict[str, int]:
    """Create the topics that are missing, enlarge those that are too small, and say how many partitions each has.

    Where the events topic exists already its own partition count is the one the others follow.

    Raises:
        DriftflowError: the broker cannot be reached, a topic cannot be created, or one has too few partitions and
            the broker does not let us add any.
    """
    with _administering(config) as admin:
        return _ensure(config, admin)


def ensure_decisions(config: Config) -> None:
    """Create the topic of decisions where it is missing: it says how many partitions the others have.

    Raises:
        DriftflowError: the broker cannot be reached, or the topic cannot be created.
    """
    with _administering(config) as admin:
        name = config.topics.decisions
        if not _partition_counts(admin, [name]):
            _create(config, admin, {name: 1})


@contextmanager
def _administering(config: Config) -> Iterator[Admin]:
    require_reachable(config.kafka)
    try:
        admin = KafkaAdminClient(
            **client_settings(config.kafka, config.root), bootstrap_timeout_ms=10_000, request_timeout_ms=10_000
        )
    except KafkaError as error:
        where = ", ".join(config.kafka.bootstrap)
        raise DriftflowError(f"cannot use the broker at {where}: {error}") from error
    try:
        yield admin
    except KafkaError as error:
        raise DriftflowError(f"cannot create the topics: {told(error)}") from error
    finally:
        admin.close()


def _ensure(config: Config, admin: Admin) -> dict[str, int]:
    existing = _partition_counts(admin, [*topic_sizes(config, 1, 1)])
    sizes = topic_sizes(config, *counted(config, existing))
    short = {name: size for name, size in sizes.items() if existing.get(name, size) < size}
    if short:
        existing |= _enlarge(config, admin, short, existing)
    missing = {name: size for name, size in sizes.items() if name not in existing}
    if missing:
        _create(config, admin, missing)
    return sizes | existing


def _create(config: Config, admin: Admin, missing: Mapping[str, int]) -> None:
    for name, reason in create(config, admin, missing).items():
        raise DriftflowError(f"topic {name} cannot be created: {reason}")
    admin.wait_for_topics(list(missing))


def _enlarge(config: Config, admin: Admin, short: Mapping[str, int], existing: Mapping[str, int]) -> dict[str, int]:
    """Add the partitions that are missing; the sizes after that."""
    reasons = left_alone(config, short)
    reasons |= add_partitions(admin, {name: size for name, size in short.items() if name not in reasons})
    sizes = retried(lambda: _grown(admin, {name: size for name, size in short.items() if name not in reasons}))
    sizes |= _partition_counts(admin, list(reasons))  # another process may have been faster
    left = {name: size for name, size in short.items() if sizes[name] < size}
    if left:
        have = ", ".join(f"{name} has {existing[name]} of {size} ({reasons[name]})" for name, size in left.items())
        raise DriftflowError(
            f"topics have too few partitions: {have}; add some, {commands(config, left)}, or name other topics"
        )
    log.info("Added partitions: %s", ", ".join(f"{name} has {size}" for name, size in sizes.items()))
    return sizes


def _grown(admin: Admin, sizes: Mapping[str, int]) -> dict[str, int]:
    """Partitions of topics that have just been enlarged; a retriable error as long as the broker does not show them."""
    counts = _partition_counts(admin, list(sizes))
    for name, size in sizes.items():
        if counts[name] < size:
            raise LeaderNotAvailableError(f"topic {name} shows {counts[name]} of {size} partitions")
    return counts


def _partition_counts(admin: Admin, names: list[str]) -> dict[str, int]:
    """Partitions of those of the topics that exist."""
    counts = {}
    for name, topic in (describe(admin, names) if names else {}).items():
        error = for_code(topic["error_code"])
        if error is NoError:
            counts[name] = len(topic["partitions"])
        elif not is_missing(topic):
            raise DriftflowError(f"topic {name} cannot be described: {error.__name__}")
    return counts


def prepare(config: Config) -> Config:
    """:func:`ensure_topics`, and the configuration with the number of partials partitions that the stream has."""
    width = counted(config, ensure_topics(config))[1]
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, partitions=width))
