"""What the columns rely on of aiokafka's fetcher, and what it gets instead of records."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer as aiokafka_consumer
from aiokafka.consumer import fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition

from stream_app.kafka.record_batches import Block
from stream_app.worker import fetching
from stream_app.worker.header_names import Records
from tests.kafka.batches import ABORT, CONTROL, TRANSACTIONAL, Batch, Record

TP = TopicPartition("events", 1)
GOOD = Batch(5, [Record(n, b"%d" % n) for n in range(4)]).packed()


class State:
    """A partition's state as aiokafka keeps it."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        """Move on."""
        self.position = position


class Assignment:
    """An assignment of one partition."""

    active = True

    def __init__(self, position: int) -> None:
        self.state = State(position)

    def state_value(self, tp: TopicPartition) -> State:
        """Its state."""
        return self.state


def result(data: bytes, start: int, *, topics: tuple[str, ...] = ("events",), aborted: Any = (), level: int = 1) -> Any:
    """What the fetcher keeps of a fetch, made with the very arguments that it passes."""
    fetching.prepare()
    records = fetcher.PartitionRecords(
        TP, fetcher.MemoryRecords(data), aborted, start, None, fetching.Columns(topics), True, level
    )
    return fetcher.FetchResult(TP, assignment=Assignment(start), partition_records=records, backoff=0.1)


def test_every_fetch_of_the_process_is_kept_so() -> None:
    fetching.prepare()
    assert fetcher.FetchResult is fetching.Result
    assert fetcher.MemoryRecords is Records


async def _brought_along() -> Any:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    fetching.hand_out_columns(consumer, ["events"])
    assert aiokafka_consumer.Fetcher is fetcher.Fetcher
    client = SimpleNamespace(_loop=None, _metadata_max_age_ms=1)
    subscriptions = SimpleNamespace(register_fetch_waiters=lambda waiters: None)
    made = fetcher.Fetcher(client, subscriptions, value_deserializer=consumer._value_deserializer)
    made._fetch_task.cancel()
    await consumer.stop()
    return made._value_deserializer


def test_a_consumer_brings_the_names_of_the_topics_along() -> None:
    assert asyncio.run(_brought_along()).topics == {"events"}


def test_a_fetch_is_handed_out_block_by_block_and_the_position_follows() -> None:
    found = result(GOOD, 6)
    first = found.getall(2)
    assert isinstance(first, Block)
    assert (first.offsets.tolist(), list(first.bodies)) == ([6, 7], [b"1", b"2"])
    assert found._assignment.state.position == 8
    assert found.has_more()
    assert [row.value for row in found.getall()] == [b"3"]
    assert (found._assignment.state.position, found.has_more()) == (9, False)
    assert list(found.getall(5)) == []


def test_what_was_sought_away_from_is_not_handed_out() -> None:
    found = result(GOOD, 5)
    found._assignment.state.position = 100
    assert list(found.getall(5)) == []
    assert (found._assignment.state.position, found.has_more()) == (100, False)


def test_other_topics_are_records_as_before() -> None:
    found = result(GOOD, 5, topics=("another",))
    assert [(type(row), row.value) for row in found.getall(2)] == [
        (fetcher.ConsumerRecord, b"0"),
        (fetcher.ConsumerRecord, b"1"),
    ]


def test_old_formats_are_read_by_aiokafka_and_handed_out_as_columns() -> None:
    legacy = LegacyRecordBatchBuilder(1, 0, 10_000)
    for offset in (5, 6):
        legacy.append(offset, timestamp=7, key=None, value=b"old")
    found = result(bytes(legacy.build()), 5)
    block = found.getall(10)
    assert isinstance(block, Block)
    assert (block.offsets.tolist(), block.times.tolist(), list(block.bodies)) == ([5, 6], [7, 7], [b"old"] * 2)


@pytest.mark.parametrize("level", [fetcher.READ_COMMITTED, fetcher.READ_UNCOMMITTED])
def test_aborted_transactions_count_by_the_isolation_and_move_the_position(level: int) -> None:
    data = Batch(5, [Record(0, b"no")], TRANSACTIONAL, 4).packed()
    data += Batch(6, [Record(0, b"", ABORT)], TRANSACTIONAL | CONTROL, 4).packed()
    found = result(data, 5, aborted=[(4, 5)], level=level)
    assert [row.value for row in found.getall(10)] == ([b"no"] if level == fetcher.READ_UNCOMMITTED else [])
    assert (found._assignment.state.position, found.has_more()) == (7, False)


def test_damage_on_the_way_is_aiokafkas_error_and_fetched_again() -> None:
    damaged = bytearray(GOOD)
    damaged[-1] ^= 1
    found = result(bytes(damaged), 5)
    with pytest.raises(fetcher.Errors.CorruptRecordException, match="events/1: the batch at offset 5 has"):
        found.getall(10)
    assert (found._assignment.state.position, found.has_more()) == (5, False)


def test_a_batch_that_nobody_can_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = result(Batch(5, [], payload=b"?", count=1).packed(), 5)
        assert [(row.offset, row.value) for row in found.getall(10)] == [(5, b"")]
    assert "events/1: the batch at offsets 5 to 5 cannot be read" in caplog.text
