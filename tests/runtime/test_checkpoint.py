"""A snapshot never says more than what the broker has acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stream_app.runtime.agents import Worker
from stream_app.runtime.state import StateStore
from stream_app.sinks.spool import Spool
from tests.core.streams import config

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Acks(list[Any]):
    """Events whose acks are counted."""

    def event(self) -> Any:
        return SimpleNamespace(ack=lambda: self.append(None))


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker without a broker, with source partition 0 open and something to save."""
    stream = msgspec.structs.replace(config(), root=str(tmp_path))
    (tmp_path / "keys").mkdir()
    monkeypatch.setattr("stream_app.runtime.models_feed.trusted_keys", lambda _: {})
    spool = Spool(tmp_path / "spool.sqlite", 100)
    made = Worker(stream, 2, StateStore(stream), spool, {"broker": "kafka://127.0.0.1:1"}, {})
    made.pipeline.open_source(0)
    return made


def _process(worker: Worker, acks: Acks) -> asyncio.Future[Any]:
    """As if a batch had been processed: one message is on its way."""
    pending: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    worker._sent.append(pending)
    worker._dirty.add(("source", 0))
    worker._acks.append(acks.event())
    return pending


def _done(topic: str = "s.signals") -> Any:
    return SimpleNamespace(topic=topic, partition=0, offset=7)


async def test_state_is_saved_and_acked_after_the_broker_has_acknowledged(worker: Worker) -> None:
    acks = Acks()
    pending = _process(worker, acks)
    checkpoint = asyncio.ensure_future(worker._checkpoint())
    await asyncio.sleep(0)
    assert worker.store.load("source-0") is None
    assert not acks
    pending.set_result(_done())
    await checkpoint
    assert worker.store.load("source-0") is not None
    assert len(acks) == 1


async def test_no_later_checkpoint_passes_a_message_that_was_not_taken(worker: Worker) -> None:
    acks = Acks()
    _process(worker, acks).set_exception(OSError("the broker went away"))
    _process(worker, acks).set_result(_done())
    for _ in range(2):
        with pytest.raises(OSError, match="went away"):
            await worker._checkpoint()
    assert worker.store.load("source-0") is None
    assert not acks


async def test_a_checkpoint_that_is_cancelled_leaves_its_messages_on_their_way(worker: Worker) -> None:
    acks = Acks()
    pending = _process(worker, acks)
    checkpoint = asyncio.ensure_future(worker._checkpoint())
    await asyncio.sleep(0)
    checkpoint.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checkpoint
    assert not pending.cancelled()
    assert worker.store.load("source-0") is None
    pending.set_result(_done("s.partials"))
    await worker._checkpoint()
    assert worker.store.load("source-0") is not None
    assert len(acks) == 1
    assert worker._sent_until == {0: 8}
