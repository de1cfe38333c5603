"""The loop over the signals topic: what is committed was taken, and what was over at the first start is not told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from schemas.framing import framed
from stream_app.config import Config
from stream_app.errors import SinkError
from stream_app.notify import reading
from stream_app.notify.notices import Notice
from stream_app.notify.reading import Reader
from tests.notify.receivers import A, B, message_of
from tests.people import incident, silenced
from tests.worker.making import make_config

CONFIG = make_config("127.0.0.1:9092", "s")
TP = TopicPartition(CONFIG.topics.signals, 1)


class Log:
    """A consumer of one partition, and the broker behind it.

    Attributes:
        committed_to: what the group has committed; None is nothing.
        errors: raised by the next questions, by name of the method.
        batch: records of a poll at most.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.records: list[Any] = []
        self.at, self.batch = 0, 2
        self.committed_to: int | None = None
        self.errors: dict[str, list[KafkaError]] = {}
        self.commits: list[int] = []
        self.idle = 0
        self._stopping = stopping

    def add(self, *records: Any) -> None:
        for record in records:
            message = message_of(record)
            fields = {"topic": TP.topic, "partition": TP.partition, "offset": len(self.records)}
            self.records.append(SimpleNamespace(**fields, value=message.value, headers=list(message.headers)))

    def _fail(self, name: str) -> None:
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        self._fail("poll")
        found = self.records[self.at : self.at + self.batch]
        self.at += len(found)
        self.idle += not found
        if self.idle > 3:
            self._stopping.set()
        return {TP: found} if found else {}

    def assignment(self) -> set[Any]:
        return {TP}

    def committed(self, tp: Any, timeout_ms: int) -> int | None:
        self._fail("committed")
        return self.committed_to

    def highwater(self, tp: Any) -> int:
        return len(self.records)

    def position(self, tp: Any, timeout_ms: int) -> int:
        self._fail("position")
        return self.at

    def seek(self, tp: Any, offset: int) -> None:
        self.at = offset

    def commit(self, offsets: dict[Any, Any], timeout_ms: int) -> None:
        self._fail("commit")
        self.committed_to = offsets[TP].offset
        self.commits.append(offsets[TP].offset)

    def close(self, timeout_ms: int) -> None:
        return


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def log(stopping: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log(stopping)
    monkeypatch.setattr(reading, "KafkaConsumer", lambda *_, **__: made)
    monkeypatch.setattr(reading, "_PAUSE_S", 0.001)
    return made


def read(log: Log, take: Callable[[Sequence[Notice]], None] | None = None, config: Config = CONFIG) -> list[Notice]:
    """Read until there is nothing more; what was taken."""
    taken = list[Notice]()
    Reader(config, {}, take or taken.extend, log._stopping).run()
    return taken


def keys(notices: Sequence[Notice]) -> list[tuple[str, str]]:
    return [(notice.thread, notice.state) for notice in notices]


def test_history_tells_the_newest_message_of_what_is_open(log: Log) -> None:
    log.add(incident(A), incident(B), incident(A, number=2, state="update"), incident(B, number=2, state="resolve"))
    log.add(silenced(incident(A, number=3, state="update")), silenced(incident("c" * 8)))
    told = read(log)
    assert [(notice.thread, notice.silenced) for notice in told] == [(A, True), ("c" * 8, True)]
    assert log.commits == [6], "nothing of a history that is not read whole"


def test_what_is_passed_on_has_no_header_of_a_registry(log: Log) -> None:
    log.add(incident(A))
    log.records[0].value = framed(7, log.records[0].value)
    (notice,) = read(log)
    assert notice.data == message_of(incident(A)).value


def test_an_empty_partition_has_no_history_and_all_that_comes_is_told(log: Log) -> None:
    told = list[Notice]()
    polls = log.poll

    def poll(timeout_ms: int) -> dict[Any, list[Any]]:
        fetched = polls(timeout_ms)
        if not fetched and not log.records:
            log.add(incident(A), incident(A, number=2, state="resolve"))
        return fetched

    log.poll = poll  # type: ignore[method-assign]
    log.highwater = lambda _: 0  # type: ignore[method-assign]
    Reader(CONFIG, {}, told.extend, log._stopping).run()
    assert keys(told) == [(A, "open"), (A, "over")]
    assert log.commits[0] == 0
    assert log.commits[-1] == 2


def test_after_a_commit_everything_is_told(log: Log) -> None:
    log.committed_to = 0
    log.add(incident(A), incident(A, number=2, state="update"), incident(A, number=3, state="resolve"))
    assert keys(read(log)) == [(A, "open"), (A, "update"), (A, "over")]
    assert log.commits == [2, 3]


def test_nothing_is_committed_that_could_not_be_taken(log: Log) -> None:
    log.committed_to = 0
    log.add(incident(A))

    def full(_: Sequence[Notice]) -> None:
        raise SinkError("no room")

    with pytest.raises(SinkError, match="no room"):
        read(log, full)
    assert log.commits == []


@pytest.mark.parametrize("question", ["poll", "committed", "position", "commit"])
def test_a_broker_that_does_not_answer_costs_no_message(log: Log, question: str) -> None:
    log.committed_to = None if question == "position" else 0
    log.errors = {question: [KafkaTimeoutError("no answer"), KafkaTimeoutError("no answer")]}
    log.add(incident(A), incident(B), incident(A, number=2, state="update"))
    told = {(notice.thread, notice.key) for notice in read(log)}
    assert len(told) == (2 if question == "position" else 3)
    assert log.committed_to == 3


def test_what_was_given_to_another_is_left_to_it(log: Log) -> None:
    log.committed_to = 0
    log.errors = {"commit": [CommitFailedError("rebalanced")]}
    log.add(incident(A))
    assert keys(read(log)) == [(A, "open")]
    assert log.commits == []


def test_a_right_that_is_missing_ends_it(log: Log) -> None:
    log.committed_to = 0
    log.errors = {"commit": [TopicAuthorizationFailedError("no")]}
    log.add(incident(A))
    with pytest.raises(TopicAuthorizationFailedError):
        read(log)


def test_what_is_no_signal_is_passed_over(log: Log) -> None:
    log.committed_to = 0
    log.add(incident(A), incident(B))
    log.records[0].value = b"junk"
    assert keys(read(log)) == [(B, "open")]
    assert log.commits == [2]
