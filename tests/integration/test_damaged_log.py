"""A broker's disk damages a batch of events under a running worker: what comes whole again is counted as if nothing had
been; what stays damaged is passed over, and people are told. The same bytes stop no tool.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from schemas.records import OffsetRange
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.history import past_of
from stream_app.kafka.reading import log_ends
from stream_app.kafka.topics import ensure_topics
from stream_app.trainer.ranges import read_ranges
from stream_app.worker.damages import PAUSES_S
from stream_app.worker.isolation import FETCH_WAIT_MS
from stream_app.worker.losses import RULE
from tests.brokers import ApacheKafka
from tests.forked import Forked
from tests.integration.monitored import metrics
from tests.integration.stream import Stream
from tests.segments import Segment

Row = tuple[bytes | None, bytes | None]

WHOLE, BAD, MARK = b"batch-a", b"batch-`", b"batch-b"
"""Marks of batches; the second one is what the first becomes where its last bit is another one."""

MONITORED = """
[monitor]
enabled = true
worker_port = 0
"""


@pytest.fixture
def stream(tmp_path: Path, kafka: str, unique: Callable[[str], str], models: Path, example: Path) -> Iterator[Stream]:
    """On Apache Kafka, with a thousand events."""
    made = Stream(tmp_path, kafka, unique("damaged"), extra=MONITORED)
    made.adopt(models)
    made.publish()
    made.produce(made.rows(example)[:1_000])
    yield made
    made.kill()


def send(stream: Stream, rows: list[Row]) -> int:
    """Rows in one batch of the first partition; the offset of the first of them."""
    producer = KafkaProducer(**client_settings(stream.config.kafka), linger_ms=500, batch_size=1024 * 1024)
    sent = [producer.send(stream.config.topics.events, key=key, value=value, partition=0) for key, value in rows]
    producer.flush()
    producer.close()
    stream.sent += len(rows)
    first: int = sent[0].get(10).offset
    assert [one.get(10).offset for one in sent] == list(range(first, first + len(rows)))
    return first


def with_mark(rows: list[Row], mark: bytes) -> list[Row]:
    return [(key, (value or b"").replace(b"{", b'{"note": "%s", ' % mark, 1)) for key, value in rows]


def told(stream: Stream) -> dict[str, Any]:
    """What has been told of logs, by what has happened."""
    found = map(json.loads, stream.command("incidents", "--format", "json").splitlines())
    return {one["detector"]: one for one in found if one["rules"] == [RULE]}


def eat(stream: Stream, worker: Forked, rows: list[Row]) -> tuple[int, int]:
    """While a worker that runs is stopped for a moment rows come, and retention deletes the first half of them."""
    worker.send_signal(signal.SIGSTOP)
    time.sleep(2 * FETCH_WAIT_MS / 1_000)  # its last fetch waits at the broker that long, and would bring the rows
    first = send(stream, rows)
    start = first + len(rows) // 2
    with KafkaAdminClient(**client_settings(stream.config.kafka)) as admin:
        admin.delete_records({TopicPartition(stream.config.topics.events, 0): start})
    worker.send_signal(signal.SIGCONT)
    return first, start


def damages(stream: Stream, outcome: str) -> float:
    """How often a batch of events was damaged, as the worker's metrics say."""
    (url,) = stream.status()["monitor"]
    return metrics(url, "worker").get(("driftflow_damaged_batches_total", f"outcome={outcome}", "topic=events"), 0.0)


def test_a_damaged_batch_is_fetched_again_and_in_the_end_passed_over_and_told(
    stream: Stream, kafka_node: ApacheKafka, example: Path
) -> None:
    rows, topic = stream.rows(example), stream.config.topics.events
    assert ensure_topics(stream.config)[topic] == 4
    segment = Segment(kafka_node, topic)
    send(stream, with_mark(rows[1_000:1_010], WHOLE))
    send(stream, rows[1_010:1_050])
    segment.flip(WHOLE)
    stream.start_worker()
    stream.wait(lambda: stream.status().get("monitor") and damages(stream, "fetched_again") > 0, "it to be met")
    segment.flip(BAD)
    stream.wait(lambda: stream.received() == stream.sent, "all to be counted, once the batch is whole")
    assert damages(stream, "passed_over") == 0
    assert stream.status()["windowed"] == stream.sent, "as if nothing had been"

    stream.stop()
    lost = send(stream, with_mark(rows[1_050:1_060], MARK))
    segment.flip(MARK)
    after = send(stream, rows[1_060:1_090])
    worker = stream.start_worker()
    stream.wait(lambda: stream.received() == stream.sent - (after - lost) + 1, "what lies behind it to be counted")
    assert (damages(stream, "fetched_again"), damages(stream, "passed_over")) == (len(PAUSES_S), 1)
    stream.wait(lambda: bool(stream.dead_letters()), "the letter")
    (letter,) = stream.dead_letters()
    assert (letter["topic"], letter["partition"], letter["offset"]) == (topic, 0, lost)
    eaten, start = eat(stream, worker, rows[1_090:1_130])
    stream.wait(lambda: stream.received() == stream.sent - (after - lost) + 1 - (start - eaten), "what is left")
    stream.wait(lambda: "retention" in told(stream), "it to be told")
    stream.stop()
    incident = told(stream)["retention"]
    assert f"{topic}/0: retention has deleted the offsets {eaten:,} to {start:,} before" in incident["summary"]
    incident = told(stream)["damaged"]
    assert incident["severity"] == "critical"
    assert f"{topic}/0: the batch at offset {lost:,} cannot be taken apart" in incident["summary"]
    assert f"reading goes on at {after:,}" in incident["summary"]


def test_what_is_damaged_stops_neither_the_trainer_nor_a_command(
    stream: Stream, kafka_node: ApacheKafka, example: Path
) -> None:
    """The one passes over it, and the other, which would need all of it, says where it is."""
    rows = stream.rows(example)
    lost = send(stream, with_mark(rows[1_000:1_010], MARK))
    after = send(stream, rows[1_010:1_020])
    Segment(kafka_node, stream.config.topics.events).flip(MARK)
    topic, client = stream.config.topics.events, client_settings(stream.config.kafka)
    end = log_ends(stream.config, client)[0]
    part = OffsetRange(topic=topic, partition=0, start=0, end=end, start_ms=0, end_ms=10**14)
    assert sum(map(len, read_ranges(stream.config, [part], client))) == end - (after - lost)
    with (
        past_of(stream.config) as past,
        pytest.raises(DriftflowError, match=f"the record at {topic}/0@{lost} cannot be read.*kafka-delete-records"),
    ):
        list(past.batches())
