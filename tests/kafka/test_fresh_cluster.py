"""A cluster that has just started says "not yet": each check waits for its own answer, and keeps its own name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    InvalidGroupIdError,
    KafkaConnectionError,
    NotCoordinatorError,
)

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.preflight import preflight
from stream_app.kafka.topics import ensure_topics
from tests.kafka.fakes import ALREADY_EXISTS, LEADER_NOT_AVAILABLE, NOT_CONTROLLER, POLICY, Admin, Clock, forever
from tests.kafka.test_preflight import failing
from tests.worker.making import make_config

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


@pytest.mark.parametrize(
    "error", [CoordinatorNotAvailableError(), CoordinatorLoadInProgressError(), NotCoordinatorError()]
)
def test_the_group_waits_for_its_coordinator(config: Config, admin: Admin, error: Any) -> None:
    admin.group_errors = iter([error] * 5)
    assert not failing(preflight(config, "worker"))


@pytest.mark.parametrize("error", [CoordinatorNotAvailableError(), InvalidGroupIdError()])
def test_a_group_without_an_answer_fails_under_its_name(config: Config, admin: Admin, error: Any) -> None:
    admin.group_errors = forever(error)
    assert failing(preflight(config, "worker")) == [f"may join group {config.kafka.group}"]


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
