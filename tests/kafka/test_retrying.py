"""A broker that is not ready is asked again, for a while; one that refuses is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, TopicAuthorizationFailedError

from stream_app.kafka.retrying import RETRY_S, retried
from tests.kafka.fakes import Clock, forever


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr("stream_app.kafka.retrying.time", stopped)
    return stopped


def answer(answers: Iterator[Any]) -> str:
    told = next(answers)
    if isinstance(told, Exception):
        raise told
    return str(told)


def test_what_passes_is_asked_again(clock: Clock) -> None:
    answers = iter([CoordinatorNotAvailableError(), CoordinatorLoadInProgressError(), "here"])
    assert retried(lambda: answer(answers)) == "here"


def test_what_does_not_pass_in_time_is_raised(clock: Clock) -> None:
    with pytest.raises(CoordinatorNotAvailableError):
        retried(lambda: answer(forever(CoordinatorNotAvailableError())))
    assert RETRY_S <= clock.now_s < RETRY_S + 1


def test_a_refusal_is_final(clock: Clock) -> None:
    answers = iter([TopicAuthorizationFailedError(), "too late"])
    with pytest.raises(TopicAuthorizationFailedError):
        retried(lambda: answer(answers))
    assert clock.now_s == 0
