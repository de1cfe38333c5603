"""The trainer's loop while a candidate is in the shadow: requests wait, are committed when they are answered, and what
else comes is taken in.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, encode_event
from schemas.records import ServiceChange
from stream_app.models.keys import request_key
from stream_app.models.signing import sign
from stream_app.trainer import trainer as loop
from tests.trainer.asking import LATER, WIDTH, WRITER, ask, message, record
from tests.trainer.shadow.worlds import World, as_log, better, config_in, live


class Partition:
    """A consumer of the signals topic: hands out one round after the other, and keeps what is committed and paused."""

    def __init__(self, *rounds: list[Any]) -> None:
        self.rounds, self.committed, self.paused = list(rounds), 0, set[Any]()

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        fetched = self.rounds.pop(0) if self.rounds else []
        return {("s.signals", WIDTH): fetched} if fetched else {}

    def commit(self, offsets: dict[Any, Any], timeout_ms: int) -> None:
        (place,) = offsets.values()
        self.committed = place.offset

    def pause(self, *places: Any) -> None:
        self.paused |= set(places)

    def resume(self, *places: Any) -> None:
        self.paused -= set(places)


@pytest.fixture
def key(world: World) -> Ed25519PrivateKey:
    return request_key(config_in(world.folder))


def later(number: int, key: Ed25519PrivateKey) -> Any:
    return message(ask(number, LATER + number), key, f"{WRITER}", offset=number)


def test_requests_wait_uncommitted_and_are_answered_in_turn(
    world: World, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, world.log = world.log, as_log(live().span(0, 3))
    trainer = world.start()
    first = message(better(), key, offset=1)
    consumer = Partition([first], [later(number, key) for number in range(2, 6)], [record(b"junk", offset=6)])
    for _ in range(5):
        trainer._round(consumer)
    assert consumer.committed == 2, "up to the first that waits: they are read again after a crash"
    assert [notice.status for notice in world.topics.told()] == ["candidate"]
    monkeypatch.setattr(loop, "WAITING_MAX", 4)
    trainer._round(consumer)
    assert consumer.paused, "more are not read meanwhile"
    world.log.extend(log[len(world.log) :])
    for _ in range(100):
        trainer._round(consumer)
    assert consumer.committed == 7
    assert not consumer.paused
    answers = [(notice.request_id, notice.status) for notice in world.topics.told()][1:]
    assert answers == [("request-1", "promoted"), *((f"request-{number}", "covered") for number in range(2, 6))]


def test_a_roll_back_is_taken_in_meanwhile(world: World, key: Ed25519PrivateKey) -> None:
    trainer, current = world.start(), world.registry.in_service()
    world.log = as_log(live().span(0, 3))
    change = ServiceChange(
        id="c", stream="s", verb="pin", model_id=current, returns_to=current, by="ann", pane_end_ms=5, why="stay"
    )
    wire = sign(encode_event(Envelope(change, change.id, WRITER, 5)), key)
    pinned = record(wire.value, list(wire.headers), offset=3)
    consumer = Partition([message(better(), key, offset=1)], [later(2, key), pinned])
    for _ in range(3):
        trainer._round(consumer)
    assert trainer.is_busy
    assert [entry.verb for entry in world.registry.history()] == ["promotion", "pin"]
