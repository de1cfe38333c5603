"""A producer chooses the codec: events in each of them are scored, and the trainer reads them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiokafka.codec
import kafka.codec
import pytest
from kafka import KafkaProducer

from schemas.records import OffsetRange
from stream_app.config import load
from stream_app.kafka.clients import client_settings
from stream_app.kafka.compression import missing_codecs
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import partition_for
from stream_app.trainer.ranges import read_ranges
from tests.integration.stream import Stream
from tests.kafka.fake_registry import registry_runs
from tests.stages.score.formats.making import framed, of_avro, record

CODECS = ("gzip", "snappy", "lz4", "zstd")
ROWS = 600


@pytest.fixture
def stream(tmp_path: Path, kafka: str, unique: Callable[[str], str], models: Path) -> Iterator[Stream]:
    """On Apache Kafka: the embedded broker keeps records as they come."""
    made = Stream(tmp_path, kafka, unique("packed"))
    made.adopt(models)
    yield made
    made.kill()


def test_events_in_every_codec_are_scored_and_trained_on(stream: Stream, example: Path) -> None:
    stream.publish()
    topic, rows = stream.config.topics.events, stream.rows(example)[: ROWS * len(CODECS)]
    n = ensure_topics(stream.config)[topic]
    for number, codec in enumerate(CODECS):
        with KafkaProducer(**client_settings(stream.config.kafka), compression_type=codec, linger_ms=50) as producer:
            for row, (key, value) in enumerate(rows[number * ROWS : (number + 1) * ROWS], number * ROWS):
                producer.send(topic, key=key, value=value, partition=partition_for(key, n, row))
    stream.sent = len(rows)
    worker = stream.start_worker()
    stream.wait_until_done()
    assert worker.poll() is None
    stream.stop()
    assert (stream.status()["received"], stream.status()["rejected"]) == (len(rows), 0)
    counts = [sum(partition_for(key, n, row) == number for row, (key, _) in enumerate(rows)) for number in range(n)]
    ranges = [OffsetRange(topic, number, 0, count, 0, 2**40) for number, count in enumerate(counts)]
    batches = list(read_ranges(stream.config, ranges, client_settings(stream.config.kafka)))
    assert sum(len(batch) for batch in batches) == len(rows)


def test_avro_in_every_codec_waits_for_its_schema(stream: Stream, example: Path) -> None:
    """Bodies with Confluent's header; the registry is away at first, and again when the trainer reads."""
    numbers = [(name.replace(".", "_"), ["null", "double"]) for name in stream.config.event.numeric]
    schema = record(("timestamp", "string"), ("station", "string"), *numbers)
    schema["fields"][2]["aliases"] = ["PM2.5"]
    with registry_runs() as registry:
        registry.add(7, schema)
        registry.mode = "500"
        text = stream.toml.read_text().replace("[event]", '[event]\nformat = "avro"')
        stream.toml.write_text(f'{text}\n[schema_registry]\nurl = "{registry.url}"\n')
        stream.config = load(stream.toml)
        stream.publish()
        topic, rows, ends = stream.config.topics.events, stream.rows(example), Counter[int]()
        n = ensure_topics(stream.config)[topic]
        for number, codec in enumerate(CODECS):
            with KafkaProducer(
                **client_settings(stream.config.kafka), compression_type=codec, linger_ms=50
            ) as producer:
                for key, value in rows[number * ROWS : (number + 1) * ROWS]:
                    partition = partition_for(key, n, 0)
                    producer.send(topic, key=key, value=_as_avro(schema, value or b""), partition=partition)
                    ends[partition] += 1
        stream.sent = ROWS * len(CODECS)
        stream.start_worker()
        stream.wait(lambda: "answers 500" in stream.status().get("failing", {}).get("schemas", ""), "the registry")
        assert stream.received() == 0
        registry.mode = "well"
        stream.wait_until_done()
        status = stream.status()
        stream.stop()
        assert (status["received"], status["rejected"], status["failing"]) == (stream.sent, 0, {})
        assert registry.asked.count("/schemas/ids/7") >= 2
        registry.mode = "500"  # what is kept is enough
        ranges = [OffsetRange(topic, number, 0, count, 0, 2**40) for number, count in ends.items()]
        batches = list(read_ranges(stream.config, ranges, client_settings(stream.config.kafka)))
        assert sum(len(batch) for batch in batches) == stream.sent


def _as_avro(schema: dict[str, Any], value: bytes) -> bytes:
    fields = {name.replace(".", "_"): found for name, found in json.loads(value).items()}
    return framed(7, of_avro(schema, {one["name"]: fields.get(one["name"]) for one in schema["fields"]}))


@pytest.mark.parametrize("of_worker", [True, False])
def test_what_is_missing_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, of_worker: bool) -> None:
    assert missing_codecs(of_worker) == {}
    client: ModuleType = aiokafka.codec if of_worker else kafka.codec
    for name in ("cramjam", "snappy", "zstd", "lz4", "lz4f", "lz4framed"):
        monkeypatch.setattr(client, name, None, raising=False)
    assert set(missing_codecs(of_worker)) == {"snappy", "lz4", "zstd"}
