"""People are told once, wherever a worker dies, and what they say counts once. Real processes on real brokers."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka import KafkaProducer

from stream_app.disk import read_lines
from stream_app.kafka.clients import client_settings
from stream_app.models.keys.commands import new_key
from stream_app.stages.decisions import DECODER, actions_of
from tests.brokers import APACHE, EMBEDDED
from tests.forked import Forked
from tests.integration.conftest import MakeStream
from tests.integration.faulty import run
from tests.integration.stream import Stream, as_lines
from tests.integration.test_conservation import records_of
from tests.integration.test_same_everywhere import score_locally
from tests.kafka.fake_registry import FakeRegistry, registry_runs

DIES = "dies between telling and saving"
PARTS = tuple(0.6 + 0.03 * part for part in range(14))
"""Where the example is cut into parts: JUDGE tells something in some of them, whatever the model is."""


CONTEXT = SerializationContext("signals", MessageField.VALUE)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with registry_runs() as running:
        yield running


def start(stream: Stream) -> Forked:
    """A worker that is killed each time that JUDGE has told something and no snapshot knows of it."""
    stream.workers.append(Forked(run, DIES, str(stream.toml), log=stream.folder / "worker.log"))
    return stream.workers[-1]


def is_done(stream: Stream) -> bool:
    topics = stream.config.topics
    return not any(stream.uncommitted(topic) for topic in (topics.events, topics.partials, topics.evidence))


@APACHE
@pytest.mark.timeout(500)
def test_people_are_told_once_wherever_a_worker_dies(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    stream.publish()
    rows, deaths = stream.rows(example), 0
    worker = start(stream)
    edges = [0, *(int(share * len(rows)) for share in PARTS), len(rows)]
    for start_row, end_row in pairwise(edges):
        stream.produce(rows[start_row:end_row])
        while not is_done(stream):
            if worker.poll() is not None:
                assert worker.returncode == -signal.SIGKILL, stream.log()
                stream.workers.clear()
                worker, deaths = start(stream), deaths + 1
            time.sleep(0.5)
    told = stream.told()
    print(f"{deaths} deaths, {len(told)} messages")
    assert 3 <= deaths <= len(told), "each time something new is told"
    stream.kill()
    assert len(told) == len(set(told))
    assert as_lines(stream.signals()) == score_locally(stream, example)


def incidents(stream: Stream) -> dict[str, str]:
    """Id to the last state of each."""
    lines = [line for part in as_lines(stream.signals()).values() for line in part]
    return {line["data"]["id"]: line["data"]["state"] for line in lines if line["ce_type"] == "driftflow.incident.v1"}


def say_again(stream: Stream, records: list[Any]) -> None:
    """As a retry or a copy of the topic would."""
    with KafkaProducer(**client_settings(stream.config.kafka)) as producer:
        for record in records:
            producer.send(record.topic, record.value, headers=list(record.headers), partition=0).get(30)


@EMBEDDED
@pytest.mark.timeout(400)
def test_what_people_say_counts_once_and_a_replay_repeats_it(
    make_stream: MakeStream, example: Path, registry: FakeRegistry
) -> None:
    """With a schema registry's header before each signal, which changes nothing of this."""
    stream = make_stream(extra=f'[schema_registry]\nurl = "{registry.url}"\nsignals = true\n')
    stream.publish()
    new_key(stream.config, "operator")
    rows = stream.rows(example)
    stream.produce(rows[: len(rows) * 15 // 16])
    stream.start_worker()
    stream.wait_until_done()
    opened = sorted(name for name, state in incidents(stream).items() if state in ("open", "update"))
    stream.command("accept", opened[0], "--why", "this is how it is now")
    stream.wait(lambda: incidents(stream)[opened[0]] == "accepted", "the incident to be accepted")
    stream.wait(lambda: stream.status()["taken"]["actions"] == 1, "the status to say so")
    stream.kill()
    say_again(stream, records_of(stream, stream.config.topics.actions))
    stream.forget_status()
    stream.start_worker()
    stream.produce(rows[len(rows) * 15 // 16 :])
    stream.wait_until_done()
    stream.wait(lambda: stream.status()["taken"]["actions"] == 2, "the copy to be seen")
    stream.stop()
    (act,) = actions_of(read_lines(stream.decisions(), DECODER, ""))
    assert (act.action.verb, act.action.incident_id) == ("accept", opened[0])
    told = stream.told()
    assert len(told) == len(set(told))
    assert as_lines(stream.signals()) == score_locally(stream, example)
    assert json.dumps(incidents(stream)).count("accepted") == 1
    values = [value for part in stream.signals().values() for _, value in part]
    read = JSONDeserializer(None, schema_registry_client=SchemaRegistryClient({"url": registry.url}))
    assert [read(value, CONTEXT) for value in values] == [json.loads(value[5:]) for value in values]
