"""The events topic is deleted and made again: its events are new ones, all of them are counted, and it is said. What
retention deletes unread is said too, once.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import ensure_topics
from stream_app.models.keys.commands import new_key
from stream_app.worker.losses import RULE
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream, write_example

FORMER, NEW = 400, 200
"""Events before and after; fewer after, so that no offset of the new log is one that the former did not have: a worker
that runs would read it on, for the few seconds until it knows, and then once more from the start.
"""

N_ANEW = 4
"""Incidents about a topic that was made anew: one a partition."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes | None, bytes | None]]:
    """Those of the example's first days, as keyed values."""
    folder = tmp_path_factory.mktemp("days")
    stream = Stream(folder / "stream", "127.0.0.1:1", "rows")
    return stream.rows(write_example(folder / "air.csv", "2013-03-05"))


def make_anew(stream: Stream, runs_on: bool) -> None:
    """Delete the events topic, and make it again with as many partitions. A worker that runs says that it is gone."""
    topic = stream.config.topics.events
    admin = KafkaAdminClient(**client_settings(stream.config.kafka))
    admin.delete_topics([topic])
    admin.close()
    if runs_on:
        gone = f"no topic {topic} on the broker any more"
        stream.wait(lambda: stream.status()["failing"].get("offsets") == gone, "it to be missed", 30.0)
    stream.wait(lambda: _is_made(stream), "the topic to be made again", 30.0)


def _is_made(stream: Stream) -> bool:
    return ensure_topics(stream.config)[stream.config.topics.events] == 4


def incidents(stream: Stream, *words: str) -> list[dict[str, Any]]:
    """What ``driftflow incidents`` lists of the logs."""
    records = [json.loads(line) for line in stream.command("incidents", "--format", "json", *words).splitlines()]
    return [record for record in records if record["rules"] == [RULE]]


def lose(stream: Stream, rows: list[tuple[bytes | None, bytes | None]]) -> dict[int, tuple[int, int]]:
    """Events come while no worker is there, and retention deletes all but the last ones: partition to what is gone."""
    topic, ends = stream.config.topics.events, ends_of(stream)
    stream.produce(rows)
    gone = {partition: (end, ends_of(stream)[partition] - 1) for partition, end in ends.items()}
    gone = {partition: (first, after) for partition, (first, after) in gone.items() if after > first}
    with KafkaAdminClient(**client_settings(stream.config.kafka)) as admin:
        admin.delete_records({TopicPartition(topic, partition): after for partition, (_, after) in gone.items()})
    return gone


def ends_of(stream: Stream) -> dict[int, int]:
    """Where the partitions of the events topic end."""
    consumer = KafkaConsumer(**client_settings(stream.config.kafka))
    ends = consumer.end_offsets([TopicPartition(stream.config.topics.events, number) for number in range(4)])
    consumer.close()
    return {tp.partition: offset for tp, offset in ends.items()}


def check_losses(stream: Stream, rows: list[tuple[bytes | None, bytes | None]]) -> None:
    """What retention has deleted unread is an incident, one though the worker is killed, until a person sees it."""
    new_key(stream.config, "operator")
    before = stream.received()
    gone = lose(stream, rows)
    stream.start_worker()
    left = len(rows) - sum(after - first for first, after in gone.values())
    stream.wait(lambda: stream.received() == before + left, "what is left of them")
    stream.wait(lambda: stream.status()["pending"] == 0, "a checkpoint")
    stream.kill()
    worker = stream.start_worker()
    stream.wait(lambda: stream.status()["lag"] == 0 and worker.poll() is None, "no lag to be left")
    found = [one for one in incidents(stream) if one["detector"] == "retention"]
    assert sorted((one["events"], one["number"]) for one in found) == sorted(
        (after - first, 1) for first, after in gone.values()
    )
    assert all(any(f"{first:,} to {after:,}" in one["summary"] for one in found) for first, after in gone.values())
    first, *others = found
    stream.command("ack", first["id"], "--why", "the disk was too small")
    stream.wait(lambda: len(incidents(stream)) < len(found) + N_ANEW, "the incident to be over", every_s=0.5)
    assert {one["id"] for one in others} < {one["id"] for one in incidents(stream)}
    assert [one["acked_by"] != "" for one in incidents(stream, "--all") if one["id"] == first["id"]] == [True]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("broker", "runs_on"), [("tansu", False), ("kafka", True)], indirect=["broker"], ids=["stopped", "running"]
)
def test_all_events_of_a_topic_that_was_made_again_are_new(
    make_stream: MakeStream, rows: list[tuple[bytes | None, bytes | None]], runs_on: bool
) -> None:
    stream = make_stream()
    stream.publish()
    stream.produce(rows[:FORMER])
    stream.start_worker()
    stream.wait(lambda: stream.received() == FORMER, "the first events")
    stream.wait(lambda: stream.status()["pending"] == 0, "a checkpoint")
    if not runs_on:
        stream.stop()
    make_anew(stream, runs_on)
    stream.produce(rows[FORMER : FORMER + NEW])
    if not runs_on:
        stream.start_worker()
    stream.wait(lambda: stream.received() == FORMER + NEW, "the events of the new topic")
    stream.wait(lambda: stream.status()["lag"] == 0, "no lag to be left")
    said = " ".join(stream.status()["failing"].values())
    assert "was deleted and made again" in said
    stream.stop()
    status = stream.status()
    assert (status["received"], status["windowed"]) == (FORMER + NEW, FORMER + NEW)
    assert [one["detector"] for one in incidents(stream)] == ["made_anew"] * N_ANEW
    if runs_on:
        check_losses(stream, rows[FORMER + NEW : FORMER + 2 * NEW])
