"""The end of a topic is where the broker says that it is; a broker that says nothing ends in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.reading import PATIENCE_S, end_of, log_ends, read_to_end, reader
from tests.kafka.fakes import Clock, Consumer
from tests.worker.making import make_config, record

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.fixture
def config() -> Config:
    return make_config("127.0.0.1:9092", "s")


def offsets(consumer: Consumer) -> list[tuple[int, int]]:
    return [(row.partition, row.offset) for row in read_to_end(consumer)]


def test_records_come_up_to_the_high_watermark(consumer: Consumer) -> None:
    consumer.assign([A, B])
    consumer.ends = {A: 3, B: 1}
    consumer.polls = [{A: [record(A, 0)]}, {}, {B: [record(B, 0)], A: [record(A, 1), record(A, 2)]}]
    assert offsets(consumer) == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_silence_is_no_end(consumer: Consumer, clock: Clock) -> None:
    consumer.assign([A])
    consumer.ends = {A: 2}
    consumer.polls = [{A: [record(A, 0)]}, *[{} for _ in range(20)], {A: [record(A, 1)]}]
    assert offsets(consumer) == [(0, 0), (0, 1)]
    assert clock.now_s > 20


def test_an_empty_topic_ends_at_once(consumer: Consumer) -> None:
    consumer.assign([A])
    consumer.ends = {A: 0}
    assert offsets(consumer) == []
    assert consumer.polled == 1


def test_the_markers_of_transactions_are_passed(consumer: Consumer) -> None:
    consumer.assign([A])
    consumer.ends = {A: 2}
    consumer.polls = [{A: [record(A, 0)]}]
    rows = read_to_end(consumer)
    assert next(rows).offset == 0
    consumer.seek(A, 2)  # the client steps over the marker at offset 1, which is no record
    assert not list(rows)


@pytest.mark.parametrize("ends", [{}, {A: 5}])
def test_a_broker_that_stays_silent_ends_in_a_sentence(consumer: Consumer, clock: Clock, ends: Any) -> None:
    consumer.assign([A])
    consumer.ends = ends
    with pytest.raises(DriftflowError, match=r"has not answered for 30 s about t/0: look at its log"):
        offsets(consumer)
    assert PATIENCE_S <= clock.now_s < PATIENCE_S + 3


def test_patience_begins_anew_with_every_record(consumer: Consumer, clock: Clock) -> None:
    consumer.assign([A])
    consumer.ends = {A: 3}
    slow: list[Any] = [{} for _ in range(25)]
    consumer.polls = [*slow, {A: [record(A, 0)]}, *slow, {A: [record(A, 1)]}, *slow, {A: [record(A, 2)]}]
    assert len(offsets(consumer)) == 3
    assert clock.now_s > 2 * PATIENCE_S


def test_the_end_is_asked_for_until_it_is_known(consumer: Consumer) -> None:
    consumer.assign([A])
    consumer.ends = {A: 7}
    assert end_of(consumer, A) == 7
    assert consumer.polled == 1
    assert end_of(consumer, A) == 7
    assert consumer.polled == 1


def test_an_end_that_stays_unknown_ends_in_a_sentence(consumer: Consumer) -> None:
    consumer.assign([A])
    with pytest.raises(DriftflowError, match="has not answered"):
        end_of(consumer, A)


def test_ends_of_the_events_topic(consumer: Consumer, config: Config) -> None:
    events = config.topics.events
    consumer.partitions = [{1, 0}]
    consumer.ends = {TopicPartition(events, 0): 4, TopicPartition(events, 1): 0}
    assert log_ends(config, {}) == {0: 4, 1: 0}
    assert consumer.closed


def test_ends_of_a_topic_that_is_not_there(consumer: Consumer, config: Config) -> None:
    consumer.partitions = [set()]
    with pytest.raises(DriftflowError, match=r"topic s.events does not exist or is empty: produce events first"):
        log_ends(config, {})
    assert consumer.closed


def test_a_fresh_cluster_is_asked_for_its_partitions_again(consumer: Consumer) -> None:
    consumer.partitions = [KafkaTimeoutError(), KafkaTimeoutError(), {0}]
    with reader({}, "t") as (_, partitions):
        assert partitions == [A]


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), KafkaTimeoutError("30 s")])
def test_what_the_client_raises_becomes_a_sentence(consumer: Consumer, error: Exception) -> None:
    consumer.polls = [error]  # type: ignore[list-item]

    def read() -> None:
        with reader({}, "t") as (made, partitions):
            made.assign(partitions)
            list(read_to_end(made))

    with pytest.raises(DriftflowError, match=r"topic t cannot be read: .*; check kafka.bootstrap"):
        read()
    assert consumer.closed


def test_a_broker_that_is_not_there_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: Any) -> None:
        raise KafkaTimeoutError("Unable to bootstrap from ['127.0.0.1:1']")

    monkeypatch.setattr("stream_app.kafka.reading.KafkaConsumer", unreachable)
    with pytest.raises(DriftflowError, match=r"topic t cannot be read: .*Unable to bootstrap"), reader({}, "t"):
        pytest.fail("nothing can be read")
