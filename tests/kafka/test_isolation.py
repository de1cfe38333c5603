"""What can be read ends at the last stable offset, and what was aborted is passed over, as far as the broker tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import Fetcher

from stream_app.config import KafkaConfig
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import readable_end, reading
from stream_app.kafka.reading import end_of, read_to_end
from stream_app.kafka.topics import ensure_topics
from tests.worker.making import make_config

ALL = KafkaConfig(isolation="read_uncommitted")


@pytest.mark.parametrize(
    ("kafka", "high", "stable", "end"),
    [
        (KafkaConfig(), 9, 5, 5),
        (KafkaConfig(), 9, 9, 9),
        (KafkaConfig(), 9, -1, 9),
        (KafkaConfig(), 9, None, 9),
        (KafkaConfig(), None, None, None),
        (ALL, 9, 5, 9),
    ],
)
def test_reading_ends_where_the_broker_says_that_all_is_decided(
    kafka: KafkaConfig, high: int | None, stable: int | None, end: int | None
) -> None:
    assert readable_end(high, stable, kafka) == end


def test_the_private_names_that_are_used_are_there() -> None:
    reading(KafkaConfig())
    assert Fetcher._parse_fetched_data.__module__ == "stream_app.kafka.isolation"


class Log:
    """A topic of one partition, and a transactional producer to it."""

    def __init__(self, bootstrap: str, name: str) -> None:
        config = make_config(bootstrap, name, partitions=1)
        ensure_topics(config)
        self.kafka, self.tp = config.kafka, TopicPartition(config.topics.events, 0)
        self.producer = KafkaProducer(**client_settings(config.kafka), transactional_id=name)
        self.producer.init_transactions()

    def begin(self, *values: bytes) -> None:
        """Have them written in an open transaction."""
        self.producer.begin_transaction()
        for value in values:
            self.producer.send(self.tp.topic, value=value, partition=0)
        self.producer.flush()

    def read(self, kafka: KafkaConfig | None = None) -> tuple[list[Any], int]:
        """What a reader gets from the beginning to the end, and where that is."""
        settings = client_settings(self.kafka) | reading(kafka or self.kafka)
        consumer = KafkaConsumer(**settings, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            consumer.assign([self.tp])
            return [record.value for record in read_to_end(consumer)], end_of(consumer, self.tp)
        finally:
            consumer.close()


@pytest.fixture
def log(broker: tuple[str, str], unique: Callable[[str], str]) -> Iterator[Log]:
    made = Log(broker[1], unique("isolation"))
    yield made
    made.producer.close(timeout=1)


def test_an_open_transaction_holds_back_and_keeps_no_reader_waiting(log: Log) -> None:
    log.begin(b"a", b"b")
    log.producer.commit_transaction()
    log.begin(b"c")
    assert log.read() == ([b"a", b"b"], 3), "two records and a marker"
    assert log.read(ALL) == ([b"a", b"b", b"c"], 4)
    log.producer.commit_transaction()
    assert log.read() == ([b"a", b"b", b"c"], 5)


def test_what_was_aborted_is_passed_over(log: Log, broker: tuple[str, str]) -> None:
    log.begin(b"a")
    log.producer.commit_transaction()
    log.begin(b"never", b"never")
    log.producer.abort_transaction()
    values, end = log.read()
    assert end == 5
    # The embedded broker does not say what was aborted, as its docstring says.
    assert values == ([b"a"] if broker[0] == "kafka" else [b"a", b"never", b"never"])
