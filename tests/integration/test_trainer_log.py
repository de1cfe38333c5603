"""What a log can look like to the trainer, on Apache Kafka: transactions, retention, a broker that goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

from schemas.records import OffsetRange
from stream_app.kafka.clients import client_settings
from stream_app.trainer.ranges import read_ranges
from stream_app.trainer.requests.looking import look
from tests.brokers import ApacheKafka
from tests.integration.asking import Asking, end, notices, request_until, told, wait_for
from tests.integration.conftest import Start
from tests.integration.stream import Stream


@pytest.fixture
def on_kafka(tmp_path: Path, kafka: str, unique: Any) -> Stream:
    """A stream with no events yet."""
    return Stream(tmp_path / "air", kafka, unique("log"))


def test_a_range_that_ends_in_the_marker_of_a_transaction_is_read_to_its_end(on_kafka: Stream, example: Path) -> None:
    stream = on_kafka
    rows = [value for key, value in stream.rows(example)[:20]]
    stream.produce([])
    topic = stream.config.topics.events
    producer = KafkaProducer(**client_settings(stream.config.kafka), transactional_id=f"{stream.name}-tx")
    producer.init_transactions()
    producer.begin_transaction()
    for value in rows:
        producer.send(topic, value=value, partition=0)
    producer.commit_transaction()
    producer.close()
    client = client_settings(stream.config.kafka)
    part = OffsetRange(topic=topic, partition=0, start=0, end=21, start_ms=0, end_ms=2**45)
    seen = look(stream.config, client, [part])
    assert seen.held[0].end == 21, "the marker is an offset too"
    assert seen.newest_ms is not None
    batches = list(read_ranges(stream.config, [part], client))
    assert sum(len(batch) for batch in batches) == 20


def test_what_retention_has_deleted_is_seen(on_kafka: Stream, example: Path) -> None:
    stream = on_kafka
    stream.produce(stream.rows(example)[:400])
    topic, client = stream.config.topics.events, client_settings(stream.config.kafka)
    parts = [OffsetRange(topic=topic, partition=p, start=0, end=5, start_ms=0, end_ms=2**45) for p in (0, 1)]
    before = look(stream.config, client, parts)
    admin = KafkaAdminClient(**client)
    admin.delete_records({TopicPartition(topic, 0): 3, TopicPartition(topic, 1): before.held[1].end})
    admin.close()
    seen = look(stream.config, client, parts)
    assert (seen.held[0].first, seen.held[1].first) == (3, before.held[1].end)
    batches = list(read_ranges(stream.config, parts, client))
    assert [(batch.partition, batch.offsets.tolist()) for batch in batches] == [(0, [3, 4])]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A node of its own, to be stopped."""
    from tests.conftest import kafka_home

    (tmp_path / "node").mkdir()
    node = ApacheKafka(kafka_home(), tmp_path / "node").start()
    yield node
    node.stop()


def test_a_broker_that_goes_and_comes_back_finds_the_trainer_there(
    node: ApacheKafka, tmp_path: Path, models: Path, example: Path, start: Start
) -> None:
    stream = Stream(tmp_path / "air", node.bootstrap, "away")
    stream.adopt(models)
    stream.produce(stream.rows(example)[:12_000])
    before = len(notices(stream))
    trainer = start(stream)
    stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
    request = request_until(stream, "2013-04-10")
    node.stop(hard=True)
    time.sleep(5)  # there is nothing to wait for: the trainer has to bear it
    assert trainer.poll() is None, stream.log()
    node.start()
    asking = Asking(stream)
    asking.ask(request, 1)
    wait_for(stream, "the answer", before + 1)
    stream.wait(lambda: len(told(stream)) == 1, "the answer on the topic")
    asking.close()
    node.stop(hard=True)
    end(trainer, stream)
    assert "Traceback" not in stream.log()
