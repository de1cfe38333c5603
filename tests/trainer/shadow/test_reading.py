"""The events topic read on from offsets: gaps, what retention has deleted, and a broker that goes away."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.models.history import Entry
from stream_app.trainer.shadow import reading
from stream_app.trainer.shadow.reading import ShadowReader
from tests.trainer.asking import asked
from tests.trainer.fakes import FakeConsumer
from tests.trainer.shadow.worlds import World, better, until_decided

CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"], time_format="epoch_ms"),
)


def body(time_ms: int) -> bytes:
    return b'{"t":%d,"x":1.0}' % time_ms


def read(monkeypatch: pytest.MonkeyPatch, consumer: FakeConsumer, offsets: dict[int, int]) -> tuple[Any, list[str]]:
    """Offsets that were read and where each partition stands, poll by poll, until nothing comes."""
    said: list[str] = []
    monkeypatch.setattr(reading, "KafkaConsumer", lambda **_: consumer)
    reader, found = ShadowReader(CONFIG, {}, offsets, {}, said.append), list[Any]()
    for _ in range(20):
        for step in reader.poll(0):
            known = [] if step.events is None else step.events.offsets.tolist()
            found.append((step.partition, known, step.next, step.partition in reader.is_behind()))
    assert reader.is_behind() == []
    reader.close()
    assert consumer.closed
    return found, said


def test_each_partition_is_read_on_from_its_offset_over_what_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    log = {0: [body(n) for n in range(5)], 1: [body(0), None, None, b"junk", body(4)]}
    found, said = read(monkeypatch, FakeConsumer(log, a_poll=2), {0: 3, 1: 1})
    assert found == [(0, [3, 4], 5, False), (1, [], 3, True), (1, [4], 5, False)]
    assert said == []


def test_a_partition_whose_new_events_no_fetch_has_told_of_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader stays open while the traffic stands, and goes on with one partition before it hears of the other."""
    log: dict[int, list[bytes | None]] = {0: [body(0)], 1: [body(0)]}
    consumer = FakeConsumer(log)
    monkeypatch.setattr(reading, "KafkaConsumer", lambda **_: consumer)
    reader = ShadowReader(CONFIG, {}, {0: 0, 1: 0}, {}, print)
    old = {0: 1, 1: 1}
    monkeypatch.setattr(consumer, "highwater", lambda tp: old[tp.partition])
    assert [step.partition for step in reader.poll(0)] == [0, 1]
    assert reader.is_behind() == []
    for bodies in log.values():
        bodies.append(body(1))
    consumer.pause(*(place for place in consumer.assignment() if place.partition == 1))
    old[0] = 2
    assert [step.partition for step in reader.poll(0)] == [0]
    assert reader.is_behind() == [1]


def test_what_retention_has_deleted_meanwhile_is_said_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = FakeConsumer({0: [body(n) for n in range(9)]}, beginning={0: 6}, a_poll=5)
    found, said = read(monkeypatch, consumer, {0: 2})
    assert [offset for _, offsets, *_ in found for offset in offsets] == [6, 7, 8]
    assert said == ["shadow: e/0 is deleted up to offset 6: it is read on from there"]


def test_a_broker_that_goes_away_is_waited_for_and_no_event_counts_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    poll, calls = FakeConsumer.poll, iter(range(10**9))

    def failing(consumer: FakeConsumer, timeout_ms: int) -> Any:
        fetched = poll(consumer, timeout_ms)
        if next(calls) % 2:
            raise KafkaTimeoutError("away")  # after the position has moved: what was fetched is lost
        return fetched

    for number in (1, 2):
        trainer = world.start()
        trainer.handle(asked(better(number)))
        until_decided(trainer)
        shadow = world.answers()[-1].gates["shadow"]
        figures.append({name: shadow[name] for name in ("events", "panes", "gain_nats", "e_better")})
        world.registry.change(Entry(world.registry.in_service(), "back", 1, "rollback"))
        monkeypatch.setattr(FakeConsumer, "poll", failing)
    assert figures[0] == figures[1]
    assert any("it is read again" in line for line in world.said)
