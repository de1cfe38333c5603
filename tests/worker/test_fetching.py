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

from stream_app.kafka.record_batches import Block, readable_from
from stream_app.worker import fetching
from stream_app.worker.damages import PAUSES_S, Damage, Damages
from stream_app.worker.header_names import Records
from tests.kafka.batches import ABORT, CONTROL, TRANSACTIONAL, Batch, Record

TP = TopicPartition("events", 1)
GOOD = Batch(5, [Record(n, b"%d" % n) for n in range(4)]).packed()


class State:
    """A partition's state as aiokafka keeps it."""

    paused = False
    highwater = 100

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


def result(
    data: bytes,
    start: int,
    *,
    topics: tuple[str, ...] = ("events",),
    aborted: Any = (),
    level: int = 1,
    damages: Damages | None = None,
) -> Any:
    """What the fetcher keeps of a fetch, made with the very arguments that it passes."""
    fetching.prepare()
    columns = fetching.Columns(topics, damages)
    records = fetcher.PartitionRecords(TP, fetcher.MemoryRecords(data), aborted, start, None, columns, True, level)
    return fetcher.FetchResult(TP, assignment=Assignment(start), partition_records=records, backoff=0.1)


def test_every_fetch_of_the_process_is_kept_so() -> None:
    fetching.prepare()
    assert fetcher.FetchResult is fetching.Result
    assert fetcher.MemoryRecords is Records


async def _brought_along() -> Any:
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    fetching.hand_out_columns(consumer, fetching.Columns(["events"]))
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


class Clock:
    """Moves on where somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_s


def damaged(batch: bytes) -> bytes:
    return batch[:-1] + bytes([batch[-1] ^ 1])


NEXT = Batch(9, [Record(0, b"next")]).packed()
STRANGE_CODEC = Batch(5, [Record(n, b"?") for n in range(4)], payload=b"?" * 40, count=4, attributes=7).packed()
MARKER_OF_NO_CODEC = Batch(5, [Record(n, b"?") for n in range(4)], payload=b"?" * 40, count=4, attributes=0xFF).packed()
"""Every bit of the attributes is set: a control batch of a transaction, by a codec that there is not."""


BAD = {"damaged": damaged(GOOD), "codec": STRANGE_CODEC, "all bits": MARKER_OF_NO_CODEC}


def read_all(damages: Damages, topics: tuple[str, ...], level: int, bad: bytes, clock: Clock) -> list[bytes | None]:
    """What is handed out of a log with a bad batch at offset 5, fetch by fetch: one that rests is not fetched anew."""
    log, position = [(4, Batch(4, [Record(0, b"first")]).packed()), (5, bad), (9, NEXT)], 4
    values: list[bytes | None] = []
    for _ in range(20):
        behind = b"".join(batch for base, batch in log if base >= position or (base == 5 and position < 9))
        found = result(behind, position, topics=topics, damages=damages, level=level)
        while found.has_more():
            values += [row.value for row in found.getall(10)]
            clock.now_s += 0.125
        position = found._assignment.state.position
        if position == 10:
            return values
    raise AssertionError(f"it goes round at {position}")


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("level", [fetcher.READ_COMMITTED, fetcher.READ_UNCOMMITTED])
def test_an_event_that_cannot_be_taken_apart_is_fetched_again_and_is_then_one_without_a_body(
    bad: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[Damage] = []
    clock = Clock()
    monkeypatch.setattr(fetching, "time", clock)
    assert read_all(Damages(met.append), ("events",), level, BAD[bad], clock) == [b"first", b"", b"next"]
    tries = len(PAUSES_S) if bad == "damaged" else 0  # what is sound was written so: it is no use to fetch it again
    assert [(one.start, one.end) for one in met] == [(5, 5)] * tries + [(5, 9)] * (tries > 0)
    assert clock.now_s >= sum(PAUSES_S[:tries])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("level", [fetcher.READ_COMMITTED, fetcher.READ_UNCOMMITTED])
def test_a_message_that_cannot_be_taken_apart_is_fetched_again_and_then_passed_over(
    bad: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[Damage] = []
    clock = Clock()
    monkeypatch.setattr(fetching, "time", clock)
    assert read_all(Damages(met.append), ("another",), level, BAD[bad], clock) == [b"first", b"next"]
    if met:  # what says that it is a marker is passed over by aiokafka
        assert [(one.start, one.end) for one in met] == [(5, 5)] * len(PAUSES_S) + [(5, 9)]
    assert met or (bad, level) == ("all bits", fetcher.READ_UNCOMMITTED)


def test_damage_on_the_way_is_fetched_again_whole() -> None:
    met: list[Damage] = []
    damages = Damages(met.append)
    found = result(damaged(GOOD), 5, damages=damages)
    assert list(found.getall(10)) == []
    assert [row.value for row in result(GOOD, 5, damages=damages).getall(10)] == [b"0", b"1", b"2", b"3"]
    assert [one.passed_over for one in met] == [False]
    assert "checksum is wrong" in met[0].why


def test_a_rest_ends_where_it_is_sought_away_from() -> None:
    found = result(damaged(GOOD), 5)
    assert list(found.getall(10)) == []
    found._assignment.state.position = 100
    assert (list(found.getall(10)), found.has_more()) == ([], False)


def test_reading_goes_on_at_the_next_whole_batch_or_where_the_damaged_one_says_or_at_the_next_offset() -> None:
    bad = damaged(GOOD)
    assert readable_from(bad + NEXT, 5, 100) == 9
    assert readable_from(bad + damaged(NEXT), 5, 100) == 9
    assert readable_from(bad, 7, 100) == 9
    assert readable_from(bad, 5, 8) == 6, "it says more than there is"
    assert readable_from(b"", 5, 8) == 6


def test_the_next_damage_right_behind_is_passed_over_at_once() -> None:
    damages = Damages()
    damages.pass_over(TP, 5, 6, "")
    assert damages.wait_s(TP, 6, "") is None
    assert damages.wait_s(TP, 8, "") == PAUSES_S[0]


def test_a_batch_that_nobody_can_read_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = result(Batch(5, [], payload=b"?", count=1).packed(), 5)
        assert [(row.offset, row.value) for row in found.getall(10)] == [(5, b"")]
    assert "events/1: the batch at offsets 5 to 5 cannot be read" in caplog.text
