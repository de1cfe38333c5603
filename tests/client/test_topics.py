"""Signals from a broker: to the topic's end, on and on, and from where a group has stopped; in a loop of events too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from schemas.incidents import Incident
from schemas.records import Record
from stream_app.client import Signal, signals
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.topics import ensure_topics
from tests.client.telling import STORY, ids, messages, send
from tests.worker.making import make_config

Read = Callable[..., list[str]]


@pytest.fixture
def config(broker: tuple[str, str], unique: Callable[[str], str]) -> Config:
    """A stream whose story is on two partitions."""
    made = make_config(broker[1], unique("client"))
    ensure_topics(made)
    send(made, ((number % 2, message) for number, message in enumerate(told(made))))
    return made


def told(config: Config) -> list[object]:
    """The story, of this stream."""
    return messages([replace(record, stream=config.stream) for record in STORY])  # type: ignore[type-var]


def read_now(config: Config, **asked: object) -> list[str]:
    return ids(signals(config, follow=False, **asked))


def read_async(config: Config, **asked: object) -> list[str]:
    async def read() -> list[Signal[Record]]:
        return [signal async for signal in signals(config, follow=False, **asked)]

    return ids(asyncio.run(read()))


@pytest.mark.parametrize("read", [read_now, read_async], ids=["sync", "async"])
def test_it_is_read_from_the_beginning_to_the_end(config: Config, read: Read) -> None:
    found = read(config)
    assert sorted(found) == [f"e-{i}" for i in range(6)]
    assert [one for one in found if one in ("e-0", "e-2", "e-4")] == ["e-0", "e-2", "e-4"], "a partition's in order"
    assert sorted(read(config, of=Incident, severity="critical")) == ["e-1", "e-4"]
    assert sorted(read(config, of=Incident, open_only=True)) == ["e-4"]


@pytest.mark.parametrize("read", [read_now, read_async], ids=["sync", "async"])
def test_a_group_goes_on_where_it_has_stopped(config: Config, read: Read, unique: Callable[[str], str]) -> None:
    group = unique("reader")
    assert len(read(config, group=group)) == 6
    assert read(config, group=group) == []
    (more,) = messages([_of(config)], 6)
    send(config, [(0, more)])
    assert read(config, group=group) == ["e-6"]
    assert len(read(config)) == 7


def test_what_is_left_half_way_comes_again(config: Config, unique: Callable[[str], str]) -> None:
    group = unique("reader")
    reading = iter(signals(config, group=group, follow=False))
    seen = [next(reading).id, next(reading).id]
    reading.close()  # type: ignore[attr-defined]
    rest = read_now(config, group=group)
    assert seen[1] in rest, "whoever had it has not asked for the next one"
    assert seen[0] not in rest
    assert sorted({*seen, *rest}) == [f"e-{i}" for i in range(6)]


def test_it_is_followed(config: Config) -> None:
    """What comes after the end is there without asking anew."""
    reading: Iterator[Signal[Record]] = iter(signals(config))
    first = [next(reading).id for _ in range(6)]
    late = messages([_of(config)], 6)
    thread = threading.Thread(target=send, args=(config, [(1, message) for message in late]))
    thread.start()
    assert next(reading).id == "e-6"
    thread.join()
    reading.close()  # type: ignore[attr-defined]
    assert len(first) == 6


def test_it_is_followed_in_a_loop(config: Config) -> None:
    async def read() -> list[str]:
        found, reading = [], signals(config).__aiter__()
        while len(found) < 6:
            found.append((await reading.__anext__()).id)
        await asyncio.to_thread(send, config, [(1, message) for message in messages([_of(config)], 6)])
        found.append((await reading.__anext__()).id)
        await reading.aclose()  # type: ignore[attr-defined]
        return found

    assert asyncio.run(read())[-1] == "e-6"


def _of(config: Config) -> Record:
    return replace(STORY[0], stream=config.stream)  # type: ignore[type-var]


@pytest.mark.parametrize("read", [read_now, read_async], ids=["sync", "async"])
def test_a_topic_that_is_not_there(tansu: str, unique: Callable[[str], str], read: Read) -> None:
    with pytest.raises(DriftflowError, match="does not exist: start `driftflow worker` once"):
        read(make_config(tansu, unique("nothing")))
