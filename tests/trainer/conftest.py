"""A trainer on fake topics: what it sends stays there, and a new process finds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.codecs import decode_event
from schemas.records import DeadLetter, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.trainer import answering, delivery, stopping, trying
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.requests import saying
from stream_app.trainer.trainer import Trainer
from tests.trainer.asking import asked, batches, seen, stream_in
from tests.trainer.fakes import FakeConsumer, FakeProducer


class Topics:
    """The broker, as far as the trainer sees it: what it sends stays, and is there when it looks again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.producer, self.seen = FakeProducer(), seen()
        self.read: Callable[..., Any] = lambda *_: batches()
        monkeypatch.setattr(delivery, "make_producer", lambda _: self.producer)
        monkeypatch.setattr(trying, "read_ranges", lambda *given: self.read(*given))
        monkeypatch.setattr(answering, "look", lambda *_: self.seen)
        monkeypatch.setattr(saying, "KafkaConsumer", lambda **_: FakeConsumer({}))  # nobody says anything
        monkeypatch.setattr(stopping, "FIRST_PAUSE_S", 0.001)

    def _read(self, kind: str, topic: str, _: int, take: Callable[[ModelNotice], None]) -> None:
        del kind
        for sent in self.producer.sent:
            if sent.topic == topic:
                take(decode_event(sent.value, sent.headers))  # type: ignore[arg-type]

    def connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the trainer's deliveries read here: a method, so that the fake takes the place of its function."""
        monkeypatch.setattr(Delivery, "_read", lambda _, *given: self._read(*given))

    def told(self) -> list[ModelNotice]:
        """Answers on the signals topic, in order."""
        return [self._record(sent) for sent in self.producer.sent if sent.topic == "s.signals"]

    def letters(self) -> list[DeadLetter]:
        return [self._record(sent) for sent in self.producer.sent if sent.topic == "s.dead-letters"]

    def _record(self, sent: Any) -> Any:
        return decode_event(sent.value, sent.headers)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    topics = Topics(monkeypatch)
    topics.connect(monkeypatch)
    return topics


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return stream_in(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(config: Config, topics: Topics, said: list[str]) -> Callable[..., Trainer]:
    """A new process on the same files."""

    def start(**trainer: Any) -> Trainer:
        changed = msgspec.structs.replace(config.trainer, **trainer)
        return Trainer(msgspec.structs.replace(config, trainer=changed), {}, said.append)

    return start


def refusing(trainer: Trainer, made: RetrainRequest) -> str:
    """Why a request is refused."""
    notice = trainer.handle(asked(made))
    assert notice is not None
    assert notice.status == "refused", notice
    return notice.reason
