"""A cluster that has just started says "not yet": each check waits for its own answer, and keeps its own name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    InvalidGroupIdError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorError,
)

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.preflight import Role, preflight
from stream_app.kafka.topics import ensure_topics
from tests.brokers import ApacheKafka
from tests.conftest import kafka_home
from tests.kafka.fakes import ALREADY_EXISTS, LEADER_NOT_AVAILABLE, NOT_CONTROLLER, POLICY, Admin, Clock, forever
from tests.kafka.test_preflight import failing
from tests.worker.making import make_config

RETRIABLE: list[type[KafkaError]] = [CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError]
NO_CONTROLLER = RuntimeError("Failed to find active controller id!")
"""kafka-python's, where two brokers in turn answered NOT_CONTROLLER."""


@pytest.fixture
def config() -> Config:
    return make_config("127.0.0.1:9092", "fresh")


@pytest.fixture
def admin(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    """The admin client of a broker that can be reached; nobody waits."""
    fake = Admin(config)
    for name in ("tcp_fault", "plain_fault", "login_fault"):
        monkeypatch.setattr(f"stream_app.kafka.probes.{name}", lambda *_: None)
    for room in ("preflight", "topics"):
        monkeypatch.setattr(f"stream_app.kafka.{room}.KafkaAdminClient", lambda **_: fake)
    monkeypatch.setattr("stream_app.kafka.retrying.time", Clock())
    yield fake
    assert fake.closed


@pytest.mark.parametrize("answer", [LEADER_NOT_AVAILABLE, KafkaConnectionError("the broker closed the connection")])
def test_topics_are_asked_for_again(config: Config, admin: Admin, answer: Any) -> None:
    admin.topic_codes = iter([answer] * 3)
    assert not failing(preflight(config, "worker"))
    assert admin.asked.count("describe") == 4


@pytest.mark.parametrize("answer", [LEADER_NOT_AVAILABLE, KafkaConnectionError("the broker closed the connection")])
def test_topics_that_stay_unknown_fail_as_topics(config: Config, admin: Admin, answer: Any) -> None:
    admin.topic_codes = forever(answer)
    checks = preflight(config, "worker")
    assert failing(checks) == ["topics"]
    assert "the broker does not say" in str(checks[-1])


def test_a_topic_that_cannot_be_described_fails_at_once(config: Config, admin: Admin) -> None:
    admin.topic_codes = iter([17])
    checks = preflight(config, "produce")
    assert failing(checks) == ["topics"]
    assert "fresh.events cannot be described: InvalidTopicError" in str(checks)
    assert admin.asked == ["describe"]


@pytest.mark.parametrize("answer", [NOT_CONTROLLER, NO_CONTROLLER, KafkaConnectionError()])
def test_creation_is_tried_again(config: Config, admin: Admin, answer: Any) -> None:
    admin.missing = {config.topics.signals}
    admin.create_codes = iter([answer] * 2)
    assert not failing(preflight(config, "worker"))
    assert admin.asked.count("validate") == 3


@pytest.mark.parametrize("answer", [NOT_CONTROLLER, NO_CONTROLLER, KafkaConnectionError()])
def test_creation_without_a_controller_fails_as_topics(config: Config, admin: Admin, answer: Any) -> None:
    admin.missing = {config.topics.signals}
    admin.create_codes = forever(answer)
    assert failing(preflight(config, "worker")) == ["topics"]
    assert "group" in admin.asked, "the checks after it are made"


@pytest.mark.parametrize("role", ["worker", "trainer"])
@pytest.mark.parametrize("inside", [False, True], ids=["raised", "in the answer"])
@pytest.mark.parametrize("error", RETRIABLE, ids=lambda error: error.__name__)
def test_the_group_waits_for_its_coordinator(
    config: Config, admin: Admin, error: type[KafkaError], inside: bool, role: Role
) -> None:
    admin.group_errors = iter([error if inside else error()] * 5)
    assert not failing(preflight(config, role))
    assert admin.asked.count("group") == 6
    assert set(admin.groups) == {config.kafka.group + ("-trainer" if role == "trainer" else "")}


def test_the_coordinator_is_looked_up_anew_each_time(
    config: Config, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of kafka-python keeps the first answer for ever, and a group's coordinator moves."""
    made = list[Admin]()
    monkeypatch.setattr("stream_app.kafka.preflight.KafkaAdminClient", lambda **_: (made.append(admin), made[-1])[1])
    admin.group_errors = iter([NotCoordinatorError()] * 3)
    assert not failing(preflight(config, "worker"))
    assert len(made) == 1 + 4


@pytest.mark.parametrize("inside", [False, True], ids=["raised", "in the answer"])
@pytest.mark.parametrize("error", [*RETRIABLE, InvalidGroupIdError], ids=lambda error: error.__name__)
def test_a_group_without_an_answer_fails_under_its_name(
    config: Config, admin: Admin, error: type[KafkaError], inside: bool
) -> None:
    admin.group_errors = forever(error if inside else error())
    checks = preflight(config, "worker")
    assert failing(checks) == [f"may join group {config.kafka.group}"]
    said = str(next(check for check in checks if not check.ok))
    assert error.__name__ in said
    assert ("asked again for 30 s" in said) is error.retriable


def test_a_right_that_the_answer_denies_is_named(config: Config, admin: Admin) -> None:
    admin.group_errors = forever(GroupAuthorizationFailedError)
    (check,) = [check for check in preflight(config, "trainer") if not check.ok]
    group = f"{config.kafka.group}-trainer"
    assert str(check) == (
        f"FAILED may join group {group}: no READ right on group {group}; allow READ on group {group} for this user"
    )


@pytest.mark.parametrize(
    "slip", [RuntimeError("Recursive access to net.poll!"), ValueError("18"), AssertionError(), KeyError("topics")]
)
@pytest.mark.parametrize("question", ["describe_topics", "describe_cluster", "create_topics", "remove_group_members"])
def test_a_slip_of_the_client_is_a_line(
    config: Config, admin: Admin, monkeypatch: pytest.MonkeyPatch, question: str, slip: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise slip

    admin.missing = {config.topics.models}
    monkeypatch.setattr(admin, question, fail)
    (check,) = [check for check in preflight(config, "worker") if not check.ok]
    assert check.name == ("topics" if question != "remove_group_members" else f"may join group {config.kafka.group}")
    assert type(slip).__name__ in check.detail or "NotController" in check.detail


@pytest.mark.parametrize("slip", [RuntimeError("no loop"), KafkaConnectionError("nobody"), ValueError("3.14")])
def test_a_client_that_cannot_be_made_is_a_line(
    config: Config, admin: Admin, monkeypatch: pytest.MonkeyPatch, slip: Exception
) -> None:
    def fail(**_: Any) -> None:
        raise slip

    monkeypatch.setattr("stream_app.kafka.preflight.KafkaAdminClient", fail)
    assert failing(preflight(config, "worker")) == ["cluster"]
    admin.close()


@pytest.mark.parametrize(
    ("role", "codec", "package"),
    [("worker", "aiokafka.codec.has_zstd", "cramjam"), ("trainer", "kafka.codec.has_zstd", "zstandard")],
)
def test_a_codec_that_cannot_be_read_fails_before_anything_else(
    config: Config, monkeypatch: pytest.MonkeyPatch, role: Role, codec: str, package: str
) -> None:
    monkeypatch.setattr(codec, lambda: False)
    assert list(map(str, preflight(config, role))) == [
        f"FAILED compression: records compressed with zstd could not be read; pip install {package}, which driftflow "
        "depends on"
    ]


def test_the_trainer_may_write_dead_letters(config: Config, admin: Admin) -> None:
    assert f"may write {config.topics.dead_letters}" in [check.name for check in preflight(config, "trainer")]


def test_the_topics_of_a_fresh_cluster_are_made(config: Config, admin: Admin) -> None:
    admin.topic_codes, admin.create_codes = iter([LEADER_NOT_AVAILABLE] * 2), iter([NOT_CONTROLLER, NO_CONTROLLER])
    admin.missing = {config.topics.models, config.topics.events}
    assert ensure_topics(config) == admin.sizes
    assert not admin.missing


def test_a_topic_that_another_worker_has_just_made_is_no_fault(config: Config, admin: Admin) -> None:
    admin.missing, admin.create_codes = {config.topics.models}, iter([ALREADY_EXISTS])
    admin.wait_for_topics = lambda names: None  # type: ignore[method-assign]
    assert ensure_topics(config) == admin.sizes


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (POLICY, "topic fresh.models cannot be created: PolicyViolationError"),
        (NO_CONTROLLER, "cannot create the topics: .*controller"),
    ],
)
def test_topics_that_cannot_be_made_end_in_a_sentence(config: Config, admin: Admin, answer: Any, said: str) -> None:
    admin.missing, admin.create_codes = {config.topics.models}, forever(answer)
    with pytest.raises(DriftflowError, match=said):
        ensure_topics(config)


@pytest.mark.parametrize("role", ["worker", "trainer"])
def test_the_first_command_on_a_cluster_that_has_just_been_made(tmp_path: Path, role: Role) -> None:
    """The coordinator's topic does not exist yet: asking for the group is what makes it."""
    node = ApacheKafka(kafka_home(), tmp_path)
    try:
        config = make_config(node.start().bootstrap, "fresh")
        assert not failing(preflight(config, role))
        assert ensure_topics(config)[config.topics.events] == 2
        assert not failing(preflight(config, role))
    finally:
        node.stop()
