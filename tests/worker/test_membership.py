"""Workers with names in their group: who is started again has its partitions back, who was replaced ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from kafka.admin import KafkaAdminClient

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.worker.app import make_app
from stream_app.worker.membership import instance_of, replaced, watch
from tests.worker.making import make_config

NAMED = KafkaConfig(instance_env="DRIFTFLOW_TEST_NAME")
UNKNOWN_MEMBER = 25


def test_without_the_setting_there_is_no_name() -> None:
    assert instance_of(KafkaConfig()) is None


@pytest.mark.parametrize("name", ["", "two words", "..", "a/b", "x" * 250])
def test_a_name_that_no_broker_takes_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMED.instance_env, name)
    with pytest.raises(DriftflowError, match="give each worker a name of its own"):
        instance_of(NAMED)


def test_the_app_joins_under_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTFLOW_TEST_NAME", "worker-3")
    config = make_config("127.0.0.1:1", "named", instance_env="DRIFTFLOW_TEST_NAME")
    assert make_app(config).conf.consumer_group_instance_id == "worker-3"
    assert "'worker-3'" in str(replaced(NAMED))


async def _lost_at(requests: list[Any], code: int) -> bool:
    """Whether the worker ends while these are sent, and the broker answers so."""
    lost = asyncio.Event()

    async def send(request: Any) -> Any:
        return SimpleNamespace(error_code=code if isinstance(request, HeartbeatRequest) else 0)

    async def end() -> None:
        lost.set()

    coordinator = SimpleNamespace(_send_req=send)
    watch(SimpleNamespace(_coordinator=coordinator), end)

    async def all_of_them() -> None:
        for request in requests:
            await coordinator._send_req(request)

    sending = asyncio.ensure_future(all_of_them())
    await asyncio.wait({sending, waiting := asyncio.ensure_future(lost.wait())}, return_when=asyncio.FIRST_COMPLETED)
    ended = lost.is_set()
    assert sending.done() != ended, "nothing is sent after that"
    for task in (sending, waiting):
        task.cancel()
    return ended


def _join(member: str) -> JoinGroupRequest:
    return JoinGroupRequest("g", 6_000, 6_000, member, "name", "consumer", [])


@pytest.mark.parametrize(
    ("requests", "code", "ends"),
    [
        ([_join(""), HeartbeatRequest("g", 1, "m")], 0, False),
        ([_join(""), HeartbeatRequest("g", 1, "m")], UNKNOWN_MEMBER, True),
        ([_join(""), _join("m")], 0, False),
        ([_join(""), _join("")], 0, True),
    ],
    ids=["known", "unknown at a heartbeat", "joins again", "joins as another"],
)
def test_a_worker_that_was_replaced_ends_and_does_not_join_again(requests: list[Any], code: int, ends: bool) -> None:
    assert asyncio.run(_lost_at(requests, code)) == ends
    assert hasattr(GroupCoordinator, "_send_req")


async def _member(bootstrap: str, topic: str, group: str) -> AIOKafkaConsumer:
    """Joins under a name and has all partitions."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, group_instance_id="name", enable_auto_commit=False,
        session_timeout_ms=6_000, heartbeat_interval_ms=100, auto_offset_reset="earliest",
    )  # fmt: skip
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.02)
    return consumer


async def _replace(bootstrap: str, topic: str, group: str) -> None:
    lost = asyncio.Event()
    first = await _member(bootstrap, topic, group)

    async def end() -> None:
        lost.set()

    watch(first, end)
    second = await _member(bootstrap, topic, group)
    await asyncio.wait_for(lost.wait(), 30)
    await first.stop()
    await asyncio.sleep(0.5)
    assert second._coordinator.generation > 0, "the one that was replaced took nothing back"
    await second.stop()


def test_on_a_broker_the_second_of_two_under_one_name_stays(kafka: str, unique: Callable[[str], str]) -> None:
    topic = unique("named")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    admin.close()
    asyncio.run(_replace(kafka, topic, f"{topic}-group"))
