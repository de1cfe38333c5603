"""A clock that only sleeping moves, and a consumer on it."""

from __future__ import annotations

import pytest

from tests.kafka.fakes import Clock, Consumer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all that waits for a broker."""
    stopped = Clock()
    monkeypatch.setattr("stream_app.kafka.retrying.time", stopped)
    monkeypatch.setattr("stream_app.kafka.reading.time", stopped)
    return stopped


@pytest.fixture
def consumer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """The consumer that readers get."""
    fake = Consumer(clock)
    monkeypatch.setattr("stream_app.kafka.reading.KafkaConsumer", lambda **_: fake)
    monkeypatch.setattr("stream_app.kafka.signals.require_reachable", lambda _: None)
    return fake
