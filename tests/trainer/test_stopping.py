"""Waiting for a broker goes on for as long as it may come back, and ends as soon as it is told to."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from stream_app.trainer import stopping as waiting
from stream_app.trainer.stopping import Stopped, Stopping, persistently


def test_a_retriable_error_is_tried_again_with_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE_S", 0.002)
    errors, said = [KafkaTimeoutError(f"try {number}") for number in range(3)], list[str]()

    def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    assert persistently(ask, "asking", Stopping(), said.append) == "answer"
    assert said == [
        "asking: KafkaTimeoutError: try 0; tried again in 0.001 s",
        "asking: KafkaTimeoutError: try 1; tried again in 0.002 s",
        "asking: KafkaTimeoutError: try 2; tried again in 0.002 s",
    ]


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("no right"), ZeroDivisionError()])
def test_any_other_error_is_raised(error: Exception) -> None:
    def ask() -> Any:
        raise error

    with pytest.raises(type(error)):
        persistently(ask, "asking", Stopping(), lambda _: None)


def test_a_pause_ends_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_S", 600.0)
    stopping, paused = Stopping(), threading.Event()

    def ask() -> Any:
        raise KafkaTimeoutError("away")

    threading.Thread(target=lambda: (paused.wait(30), stopping.set())).start()
    with pytest.raises(Stopped):
        persistently(ask, "asking", stopping, lambda _: paused.set())
