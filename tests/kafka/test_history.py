"""What is on a topic is scored as a worker would, from and to where one says; an empty partition holds nothing up."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from rich.console import Console

from flowlib import artifact
from flowlib.density import Density
from stream_app.config import Config
from stream_app.kafka.history import past_of
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline.reading import Between, Reading
from stream_app.offline.score import ScoreOptions, run_score
from tests.stages.conftest import model
from tests.stages.streams import bodies, config

__all__ = ["model"]


@pytest.fixture(scope="module")
def stream(tansu: str, tmp_path_factory: pytest.TempPathFactory, model: Density) -> Config:
    """A stream with a model in service and 600 events on the first two of three partitions."""
    cfg = config(topics={"events": "history.events", "partitions": 2})
    kafka = msgspec.structs.replace(cfg.kafka, bootstrap=[tansu])
    cfg = msgspec.structs.replace(cfg, kafka=kafka, root=str(tmp_path_factory.mktemp("history")))
    signed, registry = artifact.pack(model, signing_key(cfg)), Registry(cfg)
    registry.save(signed)
    registry.change(Entry(signed.model_id, "r", 0))
    admin = KafkaAdminClient(bootstrap_servers=tansu)
    admin.create_topics([NewTopic(cfg.topics.events, 3, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=tansu)
    for number, body in enumerate(bodies(5, 600, 30_000)):
        producer.send(cfg.topics.events, body, partition=number % 2)
    producer.flush()
    producer.close()
    return cfg


def offsets(cfg: Config, first: int = 0, end: int | None = None, between: Between | None = None) -> list[list[int]]:
    """What is read of each partition."""
    found: list[list[int]] = [[], [], []]
    with past_of(cfg, first, end) as past:
        reading = Reading(cfg, past, between=between)
        for _ in range(2):  # it can be read again
            found = [[], [], []]
            for raw in reading.batches():
                found[raw.partition] += raw.offsets.tolist()
        assert (past.sources, past.done(), past.share in (1.0, None)) == (3, {0, 1, 2}, True)
    return found


def test_a_part_by_offset_or_by_event_time_is_read(stream: Config) -> None:
    assert offsets(stream) == [[*range(300)], [*range(300)], []]
    assert offsets(stream, 290) == [[*range(290, 300)]] * 2 + [[]]
    assert offsets(stream, 10, 12) == [[10, 11], [10, 11], []]
    assert offsets(stream, 400) == [[], [], []]
    some = offsets(stream, between=Between(10_000, 20_000))
    assert all(90 < len(of) < 110 for of in some[:2])


def test_it_is_scored_and_an_empty_partition_holds_nothing_up(stream: Config) -> None:
    out, path = Console(width=300, record=True, file=io.StringIO()), stream.path("signals.jsonl")
    with past_of(stream) as past:
        run_score(stream, past, ScoreOptions(signals=path, max_dropped=1.0), out, Console(quiet=True))
    printed = out.export_text()
    assert re.match(r"600 rows of topic history.events, 1970-01-01 to 1970-01-01: \d+ scored by model", printed)
    kinds: list[Any] = [json.loads(line)["ce_type"] for line in path.read_text().splitlines()]
    assert "driftflow.incident.v1" in kinds, "WATCH waits for the partition that has none"


def test_what_was_dropped_says_where_it_is(stream: Config) -> None:
    producer = KafkaProducer(bootstrap_servers=stream.kafka.bootstrap)
    producer.send(stream.topics.events, b"nonsense", partition=1)
    producer.flush()
    producer.close()
    with past_of(stream, 300) as past:
        reading = Reading(stream, past)
        assert sum(map(len, reading.events())) == 0
    (reason,) = reading.dropped
    assert reason.example.startswith("partition 1, offset 300: ")
