"""The consumer alone, without a broker: what a seek and a revoke leave behind, how a fetch is cut and shared out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from stream_app.config import KafkaConfig
from stream_app.worker.batch_transport import install
from stream_app.worker.fetching import Columns
from stream_app.worker.isolation import FETCH_BYTES_MAX, FETCH_WAIT_MS


class _Record:
    timestamp, timestamp_type = None, 0

    def __init__(self, offset: int) -> None:
        self.offset = offset


def test_nothing_of_a_chunk_made_too_late_stays_behind() -> None:
    """A revoke between two chunks of one fetch: what the second would leave behind once moved a later seek."""
    asyncio.run(_revoke_between_chunks())


def _consumer(tp: TP) -> Any:
    """A consumer without a broker, which fetches the records 6 to 9 whenever it is asked."""
    app = faust.App("late", broker="kafka://127.0.0.1:1", web_enabled=False)
    install(app, ["t"], 2)
    consumer: Any = app.transport.create_consumer(
        callback=lambda message: None, on_partitions_revoked=lambda tps: None, on_partitions_assigned=lambda tps: None
    )
    consumer._thread.thread_loop.close()  # made for a thread that never starts
    consumer._set_active_tps({tp})
    consumer.highwater = lambda tp: 4
    consumer._note_positions = lambda: None

    async def fetched(timeout: float) -> Any:
        return {tp: [_Record(offset) for offset in range(6, 10)]}, {tp}

    consumer._wait_next_records = fetched
    return consumer


@pytest.mark.parametrize("under_way", [False, True])
def test_what_is_fetched_while_a_seek_is_under_way_is_sought_back_to(
    under_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its composites die when the seek ends, which takes longer where a partition has no commit yet."""
    asyncio.run(_fetch_while_seeking(under_way, monkeypatch))


async def _fetch_while_seeking(under_way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tp = TP("t", 0)
    consumer, answer, sought = _consumer(tp), asyncio.Event(), list[int]()

    async def perform_seek(self: Any) -> None:
        sought.append(len(sought))
        await answer.wait()

    monkeypatch.setattr(Consumer, "perform_seek", perform_seek)
    monkeypatch.setattr(consumer, "_uncommitted", set)
    if under_way:
        fetched, fetch = consumer._wait_next_records, asyncio.Event()

        async def late(timeout: float) -> Any:
            await fetch.wait()
            return await fetched(timeout)

        consumer._wait_next_records = late
        first = asyncio.ensure_future(anext(consumer.getmany(1.0), None))
        await asyncio.sleep(0)
    seek = asyncio.ensure_future(consumer.perform_seek())
    await asyncio.sleep(0)
    if under_way:
        fetch.set()
        assert await first is None, "it has begun before the seek"
    else:
        assert [chunk async for chunk in consumer.getmany(1.0)] == []
    answer.set()
    await seek
    alive = [chunk.value.token.live async for _, chunk in consumer.getmany(1.0)]
    assert (alive, len(sought)) == ([True, True], 1 + under_way)


async def _revoke_between_chunks() -> None:
    tp = TP("t", 0)
    consumer = _consumer(tp)
    chunks = consumer.getmany(1.0)
    _, first = await anext(chunks)
    assert [record.offset for record in first.value] == [6, 7]
    consumer.stop_flow()
    consumer.acks.drop([tp])
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
    assert len(consumer.acks) == 0
    assert consumer._must_seek
    assert not first.value.token.live


def test_a_fetch_is_cut_into_equal_composites_and_never_larger_ones() -> None:
    """A short one at the end would cost as much as a long one."""

    async def cut() -> list[list[int]]:
        tp = TP("t", 0)
        consumer = _consumer(tp)

        async def fetched(timeout: float) -> Any:
            return {tp: [_Record(offset) for offset in range(5)]}, {tp}

        consumer._wait_next_records = fetched
        return [[record.offset for record in message.value] async for _, message in consumer.getmany(1.0)]

    assert asyncio.run(cut()) == [[0, 1], [2, 3], [4]]


def test_its_consumer_reads_by_the_isolation_and_never_fetches_more_than_what_is_stated(tmp_path: Path) -> None:
    """aiokafka reads these private names when it starts: Faust has no setting for them."""

    async def made() -> Any:
        app = faust.App("settings", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
        hooks = dict.fromkeys(("callback", "on_partitions_revoked", "on_partitions_assigned"), print)
        transport = install(app, ["e"], 10, kafka=KafkaConfig(isolation="read_uncommitted"), columns=Columns(["e"]))
        thread = transport.create_consumer(**hooks)._thread
        thread.thread_loop.close()
        consumer = thread._create_worker_consumer(transport)
        theirs = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        for name in ("_isolation_level", "_fetch_max_bytes", "_fetch_max_wait_ms", "_value_deserializer"):
            assert hasattr(theirs, name)
        await theirs.stop()
        await consumer.stop()
        return consumer

    consumer = asyncio.run(made())
    assert (consumer._isolation_level, consumer._fetch_max_bytes) == ("read_uncommitted", FETCH_BYTES_MAX)
    assert consumer._fetch_max_wait_ms == FETCH_WAIT_MS
    assert consumer._value_deserializer.topics == {"e"}


@pytest.mark.parametrize(("partitions", "share"), [(1, FETCH_BYTES_MAX), (4, FETCH_BYTES_MAX // 4), (64, 1 << 20)])
def test_a_fetch_is_shared_out_among_the_partitions(partitions: int, share: int, tmp_path: Path) -> None:
    """``_max_partition_fetch_bytes`` is what aiokafka's fetcher asks for with each request."""

    async def assign() -> int:
        app = faust.App("shares", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
        hooks = dict.fromkeys(("callback", "on_partitions_revoked", "on_partitions_assigned"), print)
        thread = install(app, ["e", "p"], 10, columns=Columns(["e"])).create_consumer(**hooks)._thread
        thread.thread_loop.close()
        state = SimpleNamespace(register_fetch_waiters=lambda waiters: None)
        fetcher = Fetcher(SimpleNamespace(_loop=None, _metadata_max_age_ms=1), state)
        fetcher._fetch_task.cancel()
        assert fetcher._max_partition_fetch_bytes
        thread._ensure_consumer = lambda: SimpleNamespace(_fetcher=fetcher)
        thread.consumer = SimpleNamespace(threadsafe_partitions_assigned=lambda *_: asyncio.sleep(0))
        await thread.on_partitions_assigned({TP("p", 0), *(TP("e", number) for number in range(partitions))})
        return fetcher._max_partition_fetch_bytes

    assert asyncio.run(assign()) == share


def test_a_consumer_whose_thread_is_not_up_yet_has_no_progress(tmp_path: Path) -> None:
    """It is asked for its progress from the start of the process on."""

    async def ask() -> None:
        app = faust.App("early", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
        hooks = dict.fromkeys(("callback", "on_partitions_revoked", "on_partitions_assigned"), print)
        consumer = install(app, ["e"], 10).create_consumer(**hooks)
        assert consumer.progress() == {}
        assert consumer.partitions_of("e") == set()
        consumer._thread.thread_loop.close()

    asyncio.run(ask())
