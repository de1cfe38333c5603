"""A snapshot never says more than what the broker has acknowledged."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stream_app.worker.agents import Worker
from tests.worker.making import in_a_loop


class Acks(list[Any]):
    """Events whose acks are counted."""

    def event(self) -> Any:
        return SimpleNamespace(ack=lambda: self.append(None))


def _process(worker: Worker, acks: Acks) -> asyncio.Future[Any]:
    """As if a batch had been processed: one message is on its way."""
    pending: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    worker._outbox._sent.append(pending)
    worker._outbox._dirty.add(("source", 0))
    worker._outbox._acks.append(acks.event())
    return pending


def _done(topic: str = "s.signals") -> Any:
    return SimpleNamespace(topic=topic, partition=0, offset=7)


@in_a_loop
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


@in_a_loop
async def test_no_later_checkpoint_passes_a_message_that_was_not_taken(worker: Worker) -> None:
    acks = Acks()
    _process(worker, acks).set_exception(OSError("the broker went away"))
    _process(worker, acks).set_result(_done())
    for _ in range(2):
        with pytest.raises(OSError, match="went away"):
            await worker._checkpoint()
    assert worker.store.load("source-0") is None
    assert not acks


@in_a_loop
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
    assert worker._outbox.sent_until == {0: 8}
