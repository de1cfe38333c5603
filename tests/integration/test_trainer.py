"""``driftflow trainer`` as a process on a real broker: the first model, then requests as they come."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from schemas.codecs import Envelope, encode_event
from schemas.records import ModelNotice, RetrainRequest
from stream_app.kafka.clients import client_settings
from stream_app.models.registry import Registry
from tests.integration.stream import Stream
from tests.integration.test_models import retrain_request

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def stream(tmp_path: Path, broker: tuple[str, str], unique: Any, example: Path) -> Stream:
    """Six weeks of events, and no model yet."""
    stream = Stream(tmp_path / "air", broker[1], unique("trainer"))
    stream.produce(stream.rows(example)[:12_000])
    return stream


@pytest.fixture
def start(stream: Stream) -> Iterator[Start]:
    """Starts the trainer; one that still runs ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "stream_app.cli", "trainer", "-c", str(stream.toml), *words]
        with (stream.folder / "worker.log").open("ab") as log:  # what Stream.wait shows where it fails
            running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def notices(stream: Stream) -> list[ModelNotice]:
    """What has been decided so far; nothing before the trainer has made its key."""
    if not (stream.folder / "keys" / "signing.pub").exists():
        return []
    return Registry(stream.config).notices()


def ask(stream: Stream, until: str, partition: int) -> RetrainRequest:
    """A request on one of WATCH's partitions of the signals topic."""
    newest = Registry(stream.config).history()[-1].model_id
    request = retrain_request(stream, newest, until)
    message = encode_event(Envelope(request, request.id, "/tests", request.requested_pane_ms))
    producer = KafkaProducer(**client_settings(stream.config.kafka))
    producer.send(
        stream.config.topics.signals, value=message.value, headers=list(message.headers), partition=4 + partition
    )
    producer.flush()
    producer.close()
    return request


def test_requests_are_answered_as_they_come_and_once(stream: Stream, start: Start) -> None:
    trainer = start("--bootstrap-until", "2013-04-01")
    stream.wait(lambda: bool(notices(stream) and Registry(stream.config).history()), "the first model")
    first = ask(stream, "2013-04-05", partition=2)
    stream.wait(lambda: len(notices(stream)) == 2, "an answer")
    trainer.send_signal(signal.SIGTERM)
    assert trainer.wait(40) == 0, stream.log()
    trainer = start()
    second = ask(stream, "2013-04-10", partition=0)
    stream.wait(lambda: len(notices(stream)) == 3, "an answer after a restart")
    trainer.send_signal(signal.SIGTERM)
    assert trainer.wait(40) == 0, stream.log()
    answers = notices(stream)
    assert [answer.request_id for answer in answers[1:]] == [first.id, second.id]
    assert answers[0].status == "promoted"
    assert stream.log().count(f"request {first.id[:8]}") == 1, "what was answered is committed: nobody reads it again"
