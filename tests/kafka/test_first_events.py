"""What the events topic begins with: an even share of each partition, and no more than it takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kafka import TopicPartition

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.first_events import look_at_first
from stream_app.stages.score.first_events import FieldsMissing
from tests.kafka.fakes import Clock, Consumer
from tests.worker.making import make_config, record


class Logs(Consumer):
    """A consumer of whole logs: each poll brings up to 100 records of each partition assigned.

    Attributes:
        logs: bodies of each partition, offsets from 0 on.
        brought: records handed out.
    """

    def __init__(self, clock: Clock, *logs: list[bytes]) -> None:
        super().__init__(clock)
        self.logs = {TopicPartition("s.events", n): log for n, log in enumerate(logs)}
        self.partitions = [set(range(len(logs)))]
        self.ends = {tp: len(log) for tp, log in self.logs.items()}
        self.brought = 0

    def poll(self, timeout_ms: int, max_records: int | None = None) -> dict[TopicPartition, list[Any]]:
        answer: dict[TopicPartition, list[Any]] = {}
        for tp in self.assignment():
            start = self.position(tp) or 0
            rows = [record(tp, start + i, body) for i, body in enumerate(self.logs[tp][start : start + 100])]
            answer |= {tp: rows} if rows else {}
            self.brought += len(rows)
        self.polls = [answer]
        return super().poll(timeout_ms, max_records)


def config(**event: Any) -> Config:
    return make_config("127.0.0.1:1", "s", event=event)


def body(**fields: Any) -> bytes:
    return msgspec.json.encode({"time": "2026-01-01T00:00:00", "x": 1, "y": 2, "place": "north"} | fields)


@pytest.fixture
def on(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put logs in the place of a broker."""

    def put(*logs: list[bytes]) -> Logs:
        made = Logs(clock, *logs)
        monkeypatch.setattr("stream_app.kafka.reading.KafkaConsumer", lambda **_: made)
        return made

    return put


def test_the_first_event_is_enough_where_it_has_every_field(on: Any) -> None:
    logs = on([body()] * 5_000, [body()] * 5_000)
    first = look_at_first(config())
    assert (first.seen, first.enough) == (1, True)
    first.check()
    assert logs.brought == 100
    assert logs.closed


def test_a_field_that_only_the_last_partition_has_is_there(on: Any) -> None:
    """Keys part what differs: a device that has no humidity, in partitions of its own."""
    on([body()] * 5_000, [], [body()] * 5_000, [body(humidity=3)] * 5)
    first = look_at_first(config(numeric=["x", "humidity"]))
    assert first.seen <= 1_000
    first.check()


@pytest.mark.parametrize("logs", [([body()] * 5_000,), ([], [body()] * 5_000, []), ([body()] * 300, [body()] * 5_000)])
def test_a_thousand_events_are_looked_at_wherever_they_lie(on: Any, logs: tuple[list[bytes], ...]) -> None:
    on(*logs)
    first = look_at_first(config(time_field="timestamp"))
    assert first.seen == 1_000
    with pytest.raises(FieldsMissing, match="none of the first 1,000 events has a field 'timestamp'"):
        first.check()


def test_fewer_events_do_not_judge_yet(on: Any) -> None:
    on([body()] * 20, [b"nope"] * 3_000)
    first = look_at_first(config(numeric=["z"]))
    assert (first.seen, first.enough) == (20, False)
    on([])
    assert look_at_first(config()).seen == 0


def test_a_broker_that_does_not_answer_ends_in_a_sentence(on: Any) -> None:
    on([body()]).ends = {}
    with pytest.raises(DriftflowError, match="has not answered for 30 s about"):
        look_at_first(config(numeric=["z"]))
