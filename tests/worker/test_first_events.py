"""A worker on a stream whose first events lack a field ends, once; a field that disappears later never ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.guard import Guard
from stream_app.stages.score.first_events import FieldsMissing, FirstEvents
from stream_app.worker import first_events
from stream_app.worker.files import FileStore
from stream_app.worker.first_events import PART, judge_first, judged_path
from stream_app.worker.supervision import Parts
from tests.stages.streams import event
from tests.worker.making import in_a_loop

Topic = Callable[..., list[Any]]
GOOD, BAD = event(1, 1), b'{"t":1,"X":0.5}'


@pytest.fixture
def parts(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Of a worker that has its folder and does not wait long."""
    monkeypatch.setattr(first_events, "_PAUSE_S", 0.001)
    return Parts(Guard(8.0))


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """Let the topic hold something else at each look: so many events, or an error."""

    def put(*looks: list[bytes] | Exception) -> list[Any]:
        left = list(looks)

        def look(config: Config) -> FirstEvents:
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            first = FirstEvents(config.event)
            first.take(found)
            return first

        monkeypatch.setattr(first_events, "look_at_first", look)
        return left

    return put


@in_a_loop
async def test_what_was_found_is_not_judged_again(config: Config, parts: Parts, topic: Topic) -> None:
    left = topic([GOOD], [BAD] * 2_000)
    await judge_first(config, parts)
    await judge_first(config, parts)  # a start in the middle of the stream
    assert len(left) == 1


@in_a_loop
async def test_other_fields_are_judged_anew(config: Config, parts: Parts, topic: Topic) -> None:
    topic([GOOD], [GOOD] * 1_000)
    await judge_first(config, parts)
    event = msgspec.structs.replace(config.event, numeric=["x", "y", "W"])
    with pytest.raises(FieldsMissing, match=r"'W' .*they have 'v', 'c', 'id', 'station', 't', 'x', 'y'"):
        await judge_first(msgspec.structs.replace(config, event=event), parts)


@in_a_loop
async def test_nothing_is_written_down_where_a_field_is_missing(config: Config, parts: Parts, topic: Topic) -> None:
    topic([BAD] * 1_000, [BAD] * 1_000, [GOOD])
    for _ in range(2):  # a supervisor starts it again
        with pytest.raises(FieldsMissing, match=r"'x' \(event\.numeric, did you mean 'X'\?\)"):
            await judge_first(config, parts)
    assert not judged_path(config).exists()
    await judge_first(config, parts)
    assert judged_path(config).exists()


@in_a_loop
async def test_few_events_are_waited_for_and_a_tenth_of_them_warns(
    config: Config, parts: Parts, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    topic([], [BAD] * 99, [BAD] * 100, [BAD] * 500, [BAD] * 999, [BAD] * 999 + [GOOD])
    with caplog.at_level(logging.WARNING):
        await judge_first(config, parts)
    (said,) = (line.getMessage() for line in caplog.records)
    assert said.startswith("none of the first 100 events has a field 'x' (event.numeric")
    assert said.endswith("; the worker ends where it is the same of 1000")


@in_a_loop
async def test_a_broker_that_does_not_answer_is_waited_for(
    config: Config, parts: Parts, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    away = DriftflowError("topic e cannot be read: no broker")
    left = topic(away, away, [GOOD])
    with caplog.at_level(logging.WARNING):
        await judge_first(config, parts)
    assert not left
    assert [line.getMessage() for line in caplog.records] == [
        f"first events: {away}; they are looked at again, and the rest goes on"
    ]
    assert PART not in parts.failing


@in_a_loop
async def test_none_are_looked_at_where_none_are_wanted(config: Config, parts: Parts, topic: Topic) -> None:
    left = topic([BAD] * 1_000)
    event = msgspec.structs.replace(config.event, first_events=0)
    await judge_first(msgspec.structs.replace(config, event=event), parts)
    assert left


@in_a_loop
async def test_what_another_worker_has_found_meanwhile_counts(
    config: Config, parts: Parts, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic([GOOD])
    await judge_first(config, parts)
    found = judged_path(config).read_bytes()
    judged_path(config).unlink()

    def look(config: Config) -> FirstEvents:
        judged_path(config).write_bytes(found)
        first = FirstEvents(config.event)
        first.take([BAD] * 1_000)
        return first

    monkeypatch.setattr(first_events, "look_at_first", look)
    await judge_first(config, parts)
