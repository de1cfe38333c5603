"""The end of a topic is where the broker says that it is; a broker that says nothing ends in a sentence."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import kafka.errors
import pytest
from kafka import TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, KafkaTimeoutError, UnsupportedCodecError

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.reading import PATIENCE_S, end_of, follow, log_ends, read_to_end, reader
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


def read(topic: str = "t") -> list[Any]:
    """All of a topic, as every command reads it."""
    with reader({}, topic) as (made, partitions):
        made.assign(partitions)
        return list(read_to_end(made))


def kafka_errors(retriable: bool) -> list[type[KafkaError]]:
    """Every error of the client that says nothing about a record, retriable or not."""
    found = [kind for kind in vars(kafka.errors).values() if isinstance(kind, type) and issubclass(kind, KafkaError)]
    of_records = (CorruptRecordError, UnsupportedCodecError)
    return [kind for kind in found if kind.retriable == retriable and not issubclass(kind, of_records)]


@pytest.mark.parametrize("kind", kafka_errors(retriable=False), ids=lambda kind: kind.__name__)
def test_what_the_client_raises_becomes_a_sentence(consumer: Consumer, kind: type[KafkaError]) -> None:
    consumer.polls = [kind.__new__(kind)]  # type: ignore[list-item]
    with pytest.raises(DriftflowError, match=r"topic t cannot be read: .*; check kafka.bootstrap"):
        read()
    assert consumer.closed


@pytest.mark.parametrize("kind", kafka_errors(retriable=True), ids=lambda kind: kind.__name__)
def test_what_may_go_away_is_waited_for(consumer: Consumer, kind: type[KafkaError]) -> None:
    consumer.ends = {A: 1}
    consumer.polls = [kind.__new__(kind), {A: [record(A, 0)]}]  # type: ignore[list-item]
    assert [row.offset for row in read()] == [0]


def test_what_does_not_go_away_ends_in_a_sentence(consumer: Consumer, clock: Clock) -> None:
    consumer.polls = [KafkaTimeoutError() for _ in range(99)]  # type: ignore[misc]
    with pytest.raises(DriftflowError, match="has not answered for 30 s about t/0"):
        read()
    assert clock.now_s < PATIENCE_S + 3


@pytest.mark.parametrize(
    "error",
    [
        CorruptRecordError("Record batch for partition t at offset 4 failed crc check"),
        UnsupportedCodecError("Libraries for zstd compression codec not found"),
        zlib.error("Error -3 while decompressing data"),
        EOFError("Compressed file ended before the end-of-stream marker was reached"),
        RuntimeError("StopIteration raised unpacking messageset"),
        OSError("Not a gzipped file"),
        struct.error("unpack requires a buffer of 4 bytes"),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_record_that_cannot_be_read_is_named(consumer: Consumer, error: Exception) -> None:
    consumer.partitions = [{0, 1, 2}]
    bad = TopicPartition("t", 1)
    consumer.damaged = {bad: error}
    with pytest.raises(DriftflowError, match=r"^the record at t/1@0 cannot be read, ") as raised:
        read()
    assert type(error).__name__ in str(raised.value) or str(error) in str(raised.value)
    install = "install the library of its codec, or, where that is none of Kafka's, look at its producer"
    assert (install in str(raised.value)) == isinstance(error, UnsupportedCodecError)
    assert consumer.closed


def test_a_broker_that_comes_back_without_a_position_is_waited_for(consumer: Consumer) -> None:
    consumer.assign([A])
    consumer.ends, consumer.lost = {A: 1}, {A}
    consumer.polls = [{A: [record(A, 0)]}]
    with pytest.raises(DriftflowError, match="has not answered"):
        offsets(consumer)


def test_a_topic_that_grows_all_the_time_has_an_end(consumer: Consumer) -> None:
    class Growing(dict[TopicPartition, int]):
        def items(self) -> Any:
            self[A] += 1
            return super().items()

    consumer.assign([A])
    consumer.ends = Growing({A: 2})
    consumer.polls = [{A: [record(A, n)]} for n in range(100)]
    assert len(offsets(consumer)) == 3


def test_a_broker_that_goes_away_is_waited_for_and_said_once(consumer: Consumer, clock: Clock) -> None:
    consumer.assign([A])
    lines: list[str] = []
    consumer.there = [True, True, False, False, False]
    consumer.polls = [{A: [record(A, 0)]}, *[{} for _ in range(40)], {A: [record(A, 1)]}]
    rows = follow(consumer, lines.append)
    assert [next(rows).offset for _ in range(2)] == [0, 1]
    consumer.polls = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        next(rows)
    assert lines == ["the broker does not answer: waiting for it", "the broker answers again"]


def test_partitions_that_a_topic_gets_later_are_followed_too(consumer: Consumer) -> None:
    consumer.assign([A])
    consumer.partitions = [{0}, KafkaTimeoutError("busy"), {0, 1}]
    consumer.polls = [{A: [record(A, 0)]}, {}, {A: [record(A, 1)], B: [record(B, 0)]}]
    rows = follow(consumer, print)
    assert [(row.partition, row.offset) for row in (next(rows), next(rows), next(rows))] == [(0, 0), (0, 1), (1, 0)]
    assert consumer.assignment() == {A, B}
    assert consumer.position(A) == 2, "it goes on where it was"


def test_a_record_that_cannot_be_read_ends_the_following(consumer: Consumer) -> None:
    consumer.assign([A, B])
    consumer.damaged = {B: CorruptRecordError("crc")}
    with pytest.raises(DriftflowError, match=r"the record at t/1@0 cannot be read"):
        next(follow(consumer, print))


def test_a_broker_that_is_not_there_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: Any) -> None:
        raise KafkaTimeoutError("Unable to bootstrap from ['127.0.0.1:1']")

    monkeypatch.setattr("stream_app.kafka.reading.KafkaConsumer", unreachable)
    with pytest.raises(DriftflowError, match=r"topic t cannot be read: .*Unable to bootstrap"), reader({}, "t"):
        pytest.fail("nothing can be read")
