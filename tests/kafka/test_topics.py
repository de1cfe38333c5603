"""Where each writer's records go, and what topics have to look like."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaTimeoutError

from schemas.records import MODEL_BYTES_MAX
from stream_app.errors import DriftflowError
from stream_app.kafka.topics import (
    ensure_topics,
    prepare,
    signals_partition_for_trainer,
    signals_partitions,
    topic_sizes,
)
from tests.worker.making import make_config

Names = Callable[[str], str]


@pytest.mark.parametrize("n", [1, 4, 32])
def test_every_writer_has_a_partition_of_the_signals_topic(n: int) -> None:
    score, watch = set(range(n)), {n + q for q in range(n)}
    assert score | watch | {signals_partition_for_trainer(n)} == set(range(signals_partitions(n)))


def test_the_events_topic_sets_the_size_of_the_others(broker: tuple[str, str], unique: Names) -> None:
    config = make_config(broker[1], unique("sized"), partitions=2)
    with KafkaAdminClient(bootstrap_servers=broker[1]) as admin:
        admin.create_topics({config.topics.events: {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([config.topics.events])
    assert prepare(config).topics.partitions == 3
    assert ensure_topics(config) == topic_sizes(config, 3)
    assert ensure_topics(config) == topic_sizes(config, 3), "a second time it finds them"


def test_models_are_compacted_and_may_be_large(kafka: str, unique: Names) -> None:
    config = make_config(kafka, unique("models"))
    ensure_topics(config)
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, config.topics.models)
        text = str(admin.describe_configs([resource]))
    assert "compact" in text
    assert str(MODEL_BYTES_MAX) in text


def test_a_name_that_kafka_does_not_allow_ends_in_a_sentence(kafka: str, unique: Names) -> None:
    config = make_config(kafka, unique("named"))
    topics = msgspec.structs.replace(config.topics, signals="no/such name")
    with pytest.raises(DriftflowError, match=r"topic no/such name cannot be .*: "):
        ensure_topics(msgspec.structs.replace(config, topics=topics))


def test_a_broker_that_is_not_there_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr("stream_app.kafka.topics.KafkaAdminClient", unreachable)
    with pytest.raises(DriftflowError, match=r"cannot use the broker at 127.0.0.1:9: .*Unable to bootstrap"):
        ensure_topics(make_config("127.0.0.1:9", "nowhere"))
