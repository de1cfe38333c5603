"""What topics have to look like, and how they are made and enlarged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaTimeoutError

from schemas.records import MODEL_BYTES_MAX
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.shape import record_shape
from stream_app.kafka.topics import counted, ensure_topics, prepare, topic_sizes
from tests.worker.making import make_config

Names = Callable[[str], str]


def test_the_events_topic_sets_the_size_of_the_others(broker: tuple[str, str], unique: Names) -> None:
    config = make_config(broker[1], unique("sized"), partitions=2)
    with KafkaAdminClient(bootstrap_servers=broker[1]) as admin:
        admin.create_topics({config.topics.events: {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([config.topics.events])
    assert prepare(config).topics.partitions == 3
    assert ensure_topics(config) == topic_sizes(config, 3, 3)
    assert ensure_topics(config) == topic_sizes(config, 3, 3), "a second time it finds them"


@pytest.fixture
def recorded(broker: tuple[str, str], unique: Names, tmp_path: Path) -> Config:
    """A stream that began with two partitions; of its topics all exist but the signals, which are too few."""
    config = msgspec.structs.replace(make_config(broker[1], unique("grown"), partitions=2), root=str(tmp_path))
    record_shape(config)
    sizes = topic_sizes(config, 4, 2) | {config.topics.signals: 5}
    del sizes[config.topics.actions], sizes[config.topics.decisions]  # they have settings of their own
    with KafkaAdminClient(bootstrap_servers=broker[1]) as admin:
        admin.create_topics({name: {"num_partitions": n, "replication_factor": 1} for name, n in sizes.items()})
        admin.wait_for_topics(list(sizes))
    return config


def test_what_grows_with_the_events_topic_is_enlarged_where_the_broker_can(
    broker: tuple[str, str], recorded: Config
) -> None:
    if broker[0] == "kafka":
        assert "will be enlarged: " in str(preflight(recorded, "worker"))
        require(preflight(recorded, "worker"))
        assert ensure_topics(recorded) == topic_sizes(recorded, 4, 2)
    else:
        command = f"--alter --topic {recorded.topics.signals} --partitions 6"
        with pytest.raises(DriftflowError, match=f"has 5 of 6 .*{command}"):
            ensure_topics(recorded)
    assert counted(recorded, {recorded.topics.events: 4, recorded.topics.partials: 8}) == (4, 2), "slices do not move"


def test_all_that_is_too_small_is_said_at_once(kafka: str, unique: Names) -> None:
    """Nothing is changed before the first start: a name may be a slip."""
    config = make_config(kafka, unique("small"), partitions=4)
    sizes = dict.fromkeys([config.topics.events, config.topics.partials, config.topics.signals], 4)
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        admin.create_topics({name: {"num_partitions": n, "replication_factor": 1} for name, n in sizes.items()})
        admin.wait_for_topics(list(sizes))
    with pytest.raises(DriftflowError, match=r"signals has 4 of 6 .*never run.*--partitions 6, or name other topics"):
        ensure_topics(config)


def test_an_events_topic_that_was_made_anew_with_fewer_partitions_is_refused(
    kafka: str, unique: Names, tmp_path: Path
) -> None:
    old = msgspec.structs.replace(make_config(kafka, unique("anew"), partitions=4), root=str(tmp_path))
    record_shape(old)
    new = msgspec.structs.replace(old, topics=msgspec.structs.replace(old.topics, partitions=2))
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        admin.create_topics({old.topics.events: {"num_partitions": 2, "replication_factor": 1}})
        admin.wait_for_topics([old.topics.events])
    with pytest.raises(DriftflowError, match=r"events has 2 of 4 .a topic cannot shrink: it was made anew.; .* 4"):
        ensure_topics(new)


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

    with pytest.raises(DriftflowError, match=r"the broker cannot be reached: 127.0.0.1:9: Connection refused; check "):
        ensure_topics(make_config("127.0.0.1:9", "nowhere"))
    monkeypatch.setattr("stream_app.kafka.topics.require_reachable", lambda kafka: None)
    monkeypatch.setattr("stream_app.kafka.topics.KafkaAdminClient", unreachable)
    with pytest.raises(DriftflowError, match=r"cannot use the broker at 127.0.0.1:9: .*Unable to bootstrap"):
        ensure_topics(make_config("127.0.0.1:9", "nowhere"))
