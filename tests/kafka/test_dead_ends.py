"""Bytes on a broker's disk that no client can take apart: each reader steps over them, or says where they are, and
comes to an end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from kafka.consumer.fetcher import Fetcher

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.kafka import dead_ends
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end
from stream_app.kafka.stepping import poll_past
from tests.brokers import ApacheKafka
from tests.segments import Segment

DAMAGES: dict[str, Callable[[Segment], None]] = {
    "all bits": lambda segment: segment.set_attributes(1, 0xFF, 5),
    "all bits and no producer": lambda segment: segment.set_attributes(1, 0xFF, -1),
    "no codec": lambda segment: segment.set_attributes(1, 0x07, -1),
    "marker that is none": lambda segment: segment.set_attributes(1, 0x30, 5),
    "checksum": lambda segment: segment.flip(b"value-1"),
}
"""Done to the batch at offset 1. The checksum is right but in the last one."""


@pytest.fixture(params=DAMAGES)
def place(request: pytest.FixtureRequest, kafka_node: ApacheKafka, unique: Callable[[str], str]) -> TopicPartition:
    """A partition of three records, the one in the middle damaged."""
    name, client = unique("dead-ends"), client_settings(KafkaConfig(bootstrap=[kafka_node.bootstrap]))
    with KafkaAdminClient(**client) as admin:
        admin.create_topics([NewTopic(name, 1, 1)])
        admin.wait_for_topics([name])
    with closing(KafkaProducer(**client)) as producer:
        for number in range(3):
            producer.send(name, b"value-%d" % number, partition=0).get(timeout=30)
    DAMAGES[request.param](Segment(kafka_node, name))
    return TopicPartition(name, 0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("level", ["read_committed", "read_uncommitted"])
def test_no_reader_looks_for_ever(place: TopicPartition, level: str, kafka: str) -> None:
    client, places = client_settings(KafkaConfig(bootstrap=[kafka])), list[int]()
    with closing(KafkaConsumer(**client, isolation_level=level, enable_auto_commit=False)) as consumer:
        consumer.assign([place])
        consumer.seek(place, 0)
        got = polled(consumer, place, client, places)
        assert (got, consumer.position(place)) == ([b"value-0", b"value-2"], 3)
        assert places in ([], [1]), "it is passed over as a marker, or named"
        consumer.seek(place, 0)
        if not places:
            assert [record.value for record in read_to_end(consumer)] == got
            return
        with pytest.raises(DriftflowError, match=f"the record at {place.topic}/0@1 cannot be read"):
            list(read_to_end(consumer))


def polled(consumer: Any, place: TopicPartition, client: Any, places: list[int]) -> list[bytes]:
    """What comes of some polls, and the offsets that were stepped over."""
    got: list[bytes] = []
    step = partial(consumer.poll, timeout_ms=200)
    for _ in range(20):
        fetched = poll_past(step, consumer, client, lambda skipped: places.append(skipped[1]))
        got += [record.value for record in fetched.get(place, ())]
        if consumer.position(place) == 3:
            break
    return got


def test_what_is_replaced_is_there_and_is_replaced() -> None:
    client_settings(KafkaConfig())
    assert Fetcher.PartitionRecords.take is dead_ends._take
