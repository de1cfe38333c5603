"""What people say of models reaches the trainer where an operator's key has signed it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, WireMessage, encode_event
from stream_app.config import Config
from stream_app.kafka.actions import action_message, new_action
from stream_app.models.keys import operator_key
from stream_app.models.keys.commands import new_key
from stream_app.models.signing import sign
from stream_app.trainer.requests import saying
from stream_app.trainer.requests.saying import Saying
from tests.trainer.asking import stream_in


class Topic:
    """A consumer of a topic of one partition, that is there or not, and answers or not."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.is_there, self.fails, self.made = True, False, 0

    def __call__(self, **_: Any) -> Topic:
        self.made += 1
        return self

    def partitions_for_topic(self, _: str) -> set[int] | None:
        return {0} if self.is_there else None

    def assign(self, _: Any) -> None: ...
    def seek(self, *_: Any) -> None: ...
    def close(self, timeout_ms: int) -> None: ...

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        if self.fails:
            raise KafkaTimeoutError("away")
        fetched, self.records = self.records, []
        return {("s.actions", 0): fetched} if fetched else {}

    def add(self, message: WireMessage) -> None:
        place = {"topic": "s.actions", "partition": 0, "offset": 7}
        self.records.append(SimpleNamespace(**place, value=message.value, headers=list(message.headers)))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = stream_in(tmp_path)
    new_key(config, "operator")
    return config


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(saying, "KafkaConsumer", topic)
    return topic


def approval(model: str = "m") -> Any:
    return new_action("s", "approve", "ann", 1, model=model)


def test_what_an_operator_has_signed_is_taken_in(config: Config, topic: Topic) -> None:
    said: list[str] = []
    people = Saying(config, {}, said.append)
    for verb in ("approve", "reject", "anchor"):
        topic.add(sign(action_message(new_action("s", verb, "ann", 1, model="m")), operator_key(config)))
    assert [action.verb for action in people.poll()] == ["approve", "reject", "anchor"]
    assert people.poll() == []
    assert said == []


def _by_worker(config: Config) -> WireMessage:
    action = approval()
    return sign(encode_event(Envelope(action, action.id, "/driftflow/s/judge", 1)), operator_key(config))


BAD: dict[str, Callable[[Config], WireMessage]] = {
    "it is not signed": lambda _: action_message(approval()),
    "which is not trusted here": lambda _: sign(action_message(approval()), Ed25519PrivateKey.generate()),
    "only /driftflow/s/operator may act": _by_worker,
}


@pytest.mark.parametrize("why", BAD)
def test_what_nobody_may_say_is_passed_over_and_said(config: Config, topic: Topic, why: str) -> None:
    said: list[str] = []
    people = Saying(config, {}, said.append)
    topic.add(BAD[why](config))
    topic.add(sign(action_message(approval("next")), operator_key(config)))
    assert [action.model for action in people.poll()] == ["next"]
    assert len(said) == 1
    assert said[0].startswith("s.actions/0@7 is passed over: ")
    assert why in said[0]


def test_a_topic_that_is_not_there_is_looked_for_now_and_then(
    config: Config, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = Saying(config, {}, print)
    topic.is_there = False
    assert [people.poll() for _ in range(5)] == [[]] * 5
    assert topic.made == 1
    topic.is_there = True
    monkeypatch.setattr(saying, "_LOOK_S", 0.0)
    topic.add(sign(action_message(approval()), operator_key(config)))
    assert len(people.poll()) == 1


def test_a_broker_that_is_away_is_asked_again(config: Config, topic: Topic) -> None:
    people = Saying(config, {}, print)
    topic.fails = True
    assert people.poll() == []
    topic.fails = False
    topic.add(sign(action_message(approval()), operator_key(config)))
    assert len(people.poll()) == 1
