"""What is told of retention relies on aiokafka's places of partitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import subscription_state
from aiokafka.structs import TopicPartition

from stream_app.worker.positions import Place, Positions, remember_jumps
from tests.worker.making import in_a_loop

TP = TopicPartition("events", 1)


def place(position: int) -> Any:
    """One that aiokafka has made, and that reads at an offset."""
    remember_jumps()
    (made,) = subscription_state.Assignment({TP})._tp_state.values()
    assert isinstance(made, Place)
    made.seek(position)
    return made


@in_a_loop
async def test_a_fetch_that_was_refused_is_remembered_with_where_it_went_on() -> None:
    made = place(100)
    made.consumed_to(140)
    made.await_reset(1)
    made.reset_to(200)
    assert made.jumped == (140, 200)
    made.await_reset(1)
    made.reset_to(260)
    assert made.jumped == (140, 260), "nobody has looked in between"


@in_a_loop
async def test_other_ways_to_another_place_are_no_jumps() -> None:
    made = subscription_state.TopicPartitionState(SimpleNamespace())
    made.await_reset(1)
    made.reset_to(7)  # nothing was committed
    made.consumed_to(90)
    made.await_reset(1)
    made.reset_to(0)  # the log has another, earlier start: it was made anew
    made.consumed_to(30)
    made.await_reset(1)
    made.seek(50)
    made.await_reset(1)
    made.seek(5)
    assert made.jumped is None


@pytest.mark.parametrize(("needed", "told"), [(None, (140, 200)), (120, (140, 200)), (180, (180, 200)), (200, None)])
@in_a_loop
async def test_what_is_gone_is_told_before_what_follows_is_handed_out(needed: int | None, told: Any) -> None:
    made, gone = place(140), list[Any]()
    made.await_reset(1)
    made.reset_to(200)
    consumer: Any = Positions()
    consumer._batch, consumer.assignment = {"events"}, lambda: {TP}
    subscription = SimpleNamespace(assignment=SimpleNamespace(state_value=lambda tp: made))
    kafka = SimpleNamespace(_subscription=SimpleNamespace(subscription=subscription))
    consumer._thread = SimpleNamespace(_ensure_consumer=lambda: kafka)
    consumer.transport = SimpleNamespace(
        next_offset=lambda tp: needed, on_gone=lambda tp, first, end: gone.append((first, end))
    )
    consumer._note_jumps()
    consumer._note_jumps()
    assert gone == ([told] if told else [])
