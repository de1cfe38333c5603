"""A transactional producer leaves markers in the log: offsets without records, which must not count as lag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kafka import KafkaProducer

from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import partition_for
from tests.integration.stream import Stream


def test_markers_of_transactions_are_no_lag(
    tmp_path: Path, kafka: str, unique: Callable[[str], str], models: Path, example: Path
) -> None:
    stream = Stream(tmp_path, kafka, unique("transactions"))
    stream.adopt(models)
    stream.publish()
    rows = stream.rows(example)[:6_000]
    n = ensure_topics(stream.config)[stream.config.topics.events]
    producer = KafkaProducer(**client_settings(stream.config.kafka), transactional_id=stream.name)
    producer.init_transactions()
    for start in range(0, len(rows), 1_000):
        producer.begin_transaction()
        for row, (key, value) in enumerate(rows[start : start + 1_000], start):
            producer.send(stream.config.topics.events, key=key, value=value, partition=partition_for(key, n, row))
        producer.commit_transaction()
    producer.close()
    try:
        worker = stream.start_worker()
        stream.wait(lambda: stream.received() == len(rows) and stream.status()["lag"] == 0, "no lag to be left")
        assert set(stream.status()["unread"].values()) == {0}
        assert worker.poll() is None
        stream.stop()
    finally:
        stream.kill()
    assert stream.status()["windowed"] == len(rows)
