"""Every failure that a Kafka client reports as silence or "Unable to bootstrap" gets its own line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

from stream_app.config import Config
from stream_app.errors import DriftflowError, PreflightError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import Check, preflight, require
from stream_app.kafka.topics import ensure_topics, topic_sizes
from tests.brokers import USERS, ApacheKafka
from tests.worker.making import make_config

Names = Callable[[str], str]


def failing(checks: list[Check]) -> list[str]:
    """Names of the checks that do not hold."""
    return [check.name for check in checks if not check.ok]


def secure_config(node: ApacheKafka, name: str, user: str = "worker", **kafka: Any) -> Config:
    """How a user of the secure node is configured."""
    password = node.folder / f"{user}.txt"
    password.write_text(USERS[user] + "\n")
    settings = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": user,
        "sasl_password_file": str(password),
        "ssl_cafile": str(node.folder / "ca.pem"),
    }
    return make_config(node.bootstrap, name, **{**settings, **kafka})


class Rights:
    """Grants rights to ``worker``, as the administrator."""

    def __init__(self, node: ApacheKafka, name: str) -> None:
        self.config = secure_config(node, name, "admin")
        self.admin = KafkaAdminClient(**client_settings(self.config.kafka))

    def allow(self, kind: ResourceType, name: str, *rights: ACLOperation) -> None:
        """Allow, and wait until the broker has heard of it from its controller."""
        pattern = ResourcePattern(kind, name)
        rules = [ACL("User:worker", "*", right, ACLPermissionType.ALLOW, pattern) for right in rights]
        self.admin.create_acls(rules)
        either = ACLFilter("User:worker", "*", ACLOperation.ANY, ACLPermissionType.ANY, pattern)
        until = time.monotonic() + 20
        while not set(rules) <= set(self.admin.describe_acls(either)[0]):
            assert time.monotonic() < until, "the broker has not taken the rights over"
            time.sleep(0.05)

    def topics(self) -> None:
        """Make the topics."""
        ensure_topics(self.config)


@pytest.fixture
def rights(secure_kafka: ApacheKafka, unique: Names) -> Iterator[Rights]:
    """Rights on topics of its own."""
    granted = Rights(secure_kafka, unique("pre"))
    yield granted
    granted.admin.close()


def worker(rights: Rights, node: ApacheKafka, **kafka: Any) -> Config:
    """The worker's configuration on the same topics."""
    return secure_config(node, rights.config.stream, **kafka)


def allow_all_but(rights: Rights, left_out: str) -> None:
    """Everything a worker needs, except one thing."""
    topics, group = rights.config.topics, rights.config.kafka.group
    if left_out != "read":
        rights.allow(ResourceType.TOPIC, topics.events, ACLOperation.READ)
    else:
        rights.allow(ResourceType.TOPIC, topics.events, ACLOperation.DESCRIBE)
    for name in (topics.models, topics.actions):
        rights.allow(ResourceType.TOPIC, name, ACLOperation.READ)
    for name in (topics.partials, topics.evidence, topics.decisions):
        rights.allow(ResourceType.TOPIC, name, ACLOperation.READ, ACLOperation.WRITE)
    rights.allow(ResourceType.TOPIC, topics.dead_letters, ACLOperation.WRITE)
    rights.allow(ResourceType.TOPIC, topics.signals, ACLOperation.READ)
    if left_out != "write":
        rights.allow(ResourceType.TOPIC, topics.signals, ACLOperation.WRITE)
    if left_out != "group":
        rights.allow(ResourceType.GROUP, group, ACLOperation.READ)


def test_the_rights_of_a_trainer_are_named(secure_kafka: ApacheKafka, rights: Rights) -> None:
    """It joins a group of its own, looks at what it has published, hears what people say, and writes dead letters."""
    rights.topics()
    topics, group = rights.config.topics, f"{rights.config.kafka.group}-trainer"
    rights.allow(ResourceType.TOPIC, topics.events, ACLOperation.READ)
    rights.allow(ResourceType.TOPIC, topics.signals, ACLOperation.READ, ACLOperation.WRITE)
    rights.allow(ResourceType.TOPIC, topics.models, ACLOperation.READ, ACLOperation.WRITE)
    rights.allow(ResourceType.TOPIC, topics.actions, ACLOperation.READ)
    rights.allow(ResourceType.TOPIC, topics.dead_letters, ACLOperation.DESCRIBE)
    trainer = worker(rights, secure_kafka)
    assert failing(preflight(trainer, "trainer")) == [f"may join group {group}", f"may write {topics.dead_letters}"]
    rights.allow(ResourceType.TOPIC, topics.dead_letters, ACLOperation.WRITE)
    rights.allow(ResourceType.GROUP, group, ACLOperation.READ)
    assert not failing(preflight(trainer, "trainer"))


def test_all_is_well_on_either_broker(broker: tuple[str, str], unique: Names) -> None:
    config = make_config(broker[1], unique("pre"))
    checks = preflight(config, "worker")
    require(checks)
    assert "will be created" in next(check.detail for check in checks if check.name == "topics")
    ensure_topics(config)
    for role in ("worker", "trainer", "produce"):
        require(preflight(config, role))  # type: ignore[arg-type]


def test_asking_creates_nothing(broker: tuple[str, str], unique: Names) -> None:
    config = make_config(broker[1], unique("pre"))
    preflight(config, "worker")
    with KafkaAdminClient(bootstrap_servers=broker[1]) as admin:
        assert admin.describe_topics([config.topics.events])[0]["error_code"] != 0


def test_too_few_partitions(broker: tuple[str, str], unique: Names) -> None:
    config, other = make_config(broker[1], unique("pre"), partitions=2), make_config(broker[1], unique("other"))
    ensure_topics(config)
    ensure_topics(other)
    swapped = msgspec.structs.replace(config.topics, signals=other.topics.events)
    short = msgspec.structs.replace(config, topics=swapped)
    assert failing(preflight(short, "trainer")) == ["topics"]
    with pytest.raises(DriftflowError, match=r"has 2 of 4 .the stream has never run"):
        ensure_topics(short)


def test_wrong_port(port: int, unique: Names) -> None:
    checks = preflight(make_config(f"127.0.0.1:{port}", unique("pre")), "worker")
    assert failing(checks) == ["reachable"]
    with pytest.raises(
        PreflightError, match=r"FAILED reachable: 127.0.0.1:\d+: Connection refused; check kafka.bootstrap"
    ):
        require(checks)


def test_name_that_does_not_resolve(unique: Names) -> None:
    checks = preflight(make_config("no-such-host.invalid:9092", unique("pre")), "worker")
    assert failing(checks) == ["reachable"]
    assert "does not resolve" in checks[-1].detail


def test_plaintext_to_a_tls_port(secure_kafka: ApacheKafka, unique: Names) -> None:
    checks = preflight(make_config(secure_kafka.bootstrap, unique("pre")), "worker")
    assert failing(checks) == ["TLS"]
    assert "speaks TLS" in checks[-1].detail


def test_tls_to_a_plaintext_port(tansu: str, unique: Names) -> None:
    checks = preflight(make_config(tansu, unique("pre"), security_protocol="SSL"), "worker")
    assert failing(checks) == ["TLS"]


def test_wrong_authority(secure_kafka: ApacheKafka, unique: Names) -> None:
    config = secure_config(secure_kafka, unique("pre"), ssl_cafile=str(secure_kafka.folder / "other-ca.pem"))
    checks = preflight(config, "worker")
    assert failing(checks) == ["TLS"]
    assert "kafka.ssl_cafile" in checks[-1].remedy


def test_missing_authority_file(secure_kafka: ApacheKafka, unique: Names) -> None:
    config = secure_config(secure_kafka, unique("pre"), ssl_cafile="no-such-file.pem")
    assert failing(preflight(config, "worker")) == ["TLS"]


def test_wrong_password(secure_kafka: ApacheKafka, unique: Names, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    config = secure_config(secure_kafka, unique("pre"), sasl_password_file=str(tmp_path / "wrong"))
    checks = preflight(config, "worker")
    assert failing(checks) == ["login"]
    assert "'worker' was refused" in checks[-1].detail
    assert "wrong" not in str(checks[-1])


def test_mechanism_that_is_not_offered(secure_kafka: ApacheKafka, unique: Names) -> None:
    checks = preflight(secure_config(secure_kafka, unique("pre"), sasl_mechanism="PLAIN"), "worker")
    assert failing(checks) == ["login"]
    assert "does not offer PLAIN" in checks[-1].detail


def test_missing_topics_without_the_right_to_create(secure_kafka: ApacheKafka, rights: Rights) -> None:
    for name in topic_sizes(rights.config, 1, 1):
        rights.allow(ResourceType.TOPIC, name, ACLOperation.READ, ACLOperation.WRITE)
    rights.allow(ResourceType.GROUP, rights.config.kafka.group, ACLOperation.READ)
    checks = preflight(worker(rights, secure_kafka), "worker")
    assert failing(checks) == ["topics"]
    assert "may not be created" in next(check.detail for check in checks if check.name == "topics")


def test_topics_hidden_from_the_user(secure_kafka: ApacheKafka, rights: Rights) -> None:
    rights.topics()
    assert "topics" in failing(preflight(worker(rights, secure_kafka), "worker"))


@pytest.mark.parametrize("left_out", ["nothing", "read", "group", "write"])
def test_a_missing_right_is_named(secure_kafka: ApacheKafka, rights: Rights, left_out: str) -> None:
    rights.topics()
    allow_all_but(rights, left_out)
    topics, group = rights.config.topics, rights.config.kafka.group
    expected = {
        "nothing": [],
        "read": [f"may read {topics.events}"],
        "group": [f"may join group {group}"],
        "write": [f"may write {topics.signals}"],
    }
    assert failing(preflight(worker(rights, secure_kafka), "worker")) == expected[left_out]


def test_an_actions_topic_that_is_not_kept_for_good_is_named(kafka: str, unique: Names) -> None:
    """A broker that makes topics by itself gives them its own settings."""
    config = make_config(kafka, unique("kept"))
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        admin.create_topics({config.topics.actions: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([config.topics.actions])
    (wrong,) = (check for check in preflight(config, "worker") if not check.ok)
    assert "has retention.ms=604800000, so that the broker deletes what people have said; " in str(wrong)
    command = f"--entity-name {config.topics.actions} --add-config cleanup.policy=delete,retention.ms=-1,"
    assert command in wrong.remedy
    assert not failing(preflight(config, "trainer"))


def test_whether_actions_are_kept_is_left_open_where_the_broker_does_not_tell(
    secure_kafka: ApacheKafka, rights: Rights
) -> None:
    rights.topics()
    allow_all_but(rights, "nothing")
    kept = {check.name: check.detail for check in preflight(worker(rights, secure_kafka), "worker")}["keeps actions"]
    assert kept.startswith("not known: ")
    rights.allow(ResourceType.TOPIC, rights.config.topics.actions, ACLOperation.DESCRIBE_CONFIGS)
    kept = {check.name: check.detail for check in preflight(worker(rights, secure_kafka), "worker")}["keeps actions"]
    assert kept == "for good"
