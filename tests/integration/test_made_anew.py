"""The events topic is deleted and made again: its events are new ones, all of them are counted, and it is said."""

from __future__ import annotations

import pytest
from kafka.admin import KafkaAdminClient

from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import ensure_topics
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream, write_example

FORMER, NEW = 400, 200
"""Events before and after; fewer after, so that no offset of the new log is one that the former did not have: a worker
that runs would read it on, for the few seconds until it knows, and then once more from the start.
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes | None, bytes | None]]:
    """Those of the example's first days, as keyed values."""
    folder = tmp_path_factory.mktemp("days")
    stream = Stream(folder / "stream", "127.0.0.1:1", "rows")
    return stream.rows(write_example(folder / "air.csv", "2013-03-05"))


def make_anew(stream: Stream) -> None:
    """Delete the events topic, and make it again with as many partitions."""
    topic = stream.config.topics.events
    admin = KafkaAdminClient(**client_settings(stream.config.kafka))
    admin.delete_topics([topic])
    admin.close()
    stream.wait(lambda: _is_made(stream), "the topic to be made again", 30.0)


def _is_made(stream: Stream) -> bool:
    return ensure_topics(stream.config)[stream.config.topics.events] == 4


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
    make_anew(stream)
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
