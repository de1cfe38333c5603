"""Models on their way: altered ones are refused and the old one keeps scoring; a retrain reads what it was asked to."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from schemas.records import ModelNotice, OffsetRange, RetrainRequest, record_id
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import log_ends
from stream_app.kafka.topics import prepare
from stream_app.models.registry import Registry
from stream_app.stages.partitioning import trainer_signals
from stream_app.stages.score.event_time import time_parser
from stream_app.trainer.publishing import make_producer, publish
from stream_app.trainer.ranges import read_ranges
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.trainer import Trainer
from tests.brokers import APACHE
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream


def full_notice(stream: Stream, number: int) -> ModelNotice:
    """A model of the registry with its bytes."""
    registry = Registry(stream.config)
    notice = registry.notices()[number]
    model = registry.read(notice.model_id)
    return msgspec.structs.replace(notice, manifest=model.manifest, tensors=model.tensors, signature=model.signature)


def _flip(blob: bytes) -> bytes:
    middle = len(blob) // 2
    return blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]


def _signed_by_a_stranger(notice: ModelNotice, folder: Path) -> ModelNotice:
    key = artifact.Ed25519PrivateKey.generate()
    digest = sha256(sha256(notice.manifest).digest() + sha256(notice.tensors).digest()).digest()
    return msgspec.structs.replace(notice, signature=key.sign(digest), key_id=artifact.key_id(key.public_key()))


ALTERED: dict[str, Callable[[ModelNotice, Path], ModelNotice]] = {
    "truncated": lambda n, _: msgspec.structs.replace(n, tensors=n.tensors[:-100]),
    "flipped weight": lambda n, _: msgspec.structs.replace(n, tensors=_flip(n.tensors)),
    "flipped manifest": lambda n, _: msgspec.structs.replace(n, manifest=_flip(n.manifest)),
    "unsigned": lambda n, _: msgspec.structs.replace(n, signature=b""),
    "no bytes at all": lambda n, _: msgspec.structs.replace(n, manifest=b"", tensors=b""),
    "another id": lambda n, _: msgspec.structs.replace(n, model_id="0" * 16),
    "a stranger's key": _signed_by_a_stranger,
}


@APACHE
def test_altered_models_are_refused_and_the_old_one_keeps_scoring(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    config = prepare(stream.config)
    producer = make_producer(client_settings(config.kafka))
    first, second = full_notice(stream, 0), full_notice(stream, 1)
    publish(producer, config, first)
    rows = stream.rows(example)
    stream.produce(rows[:4_000])
    stream.start_worker()
    stream.wait_until_done()
    for alter in ALTERED.values():
        publish(producer, config, alter(second, stream.folder))
    producer.send(config.topics.models, key=b"junk", value=b"junk", headers=[("ce_type", b"driftflow.model-notice.v1")])
    producer.flush()
    stream.wait(lambda: stream.status()["refused"]["models"] == len(ALTERED) + 1, "the refusals")
    stream.produce(rows[4_000:8_000])
    stream.wait_until_done()
    assert stream.status()["service"] == first.model_id
    publish(producer, config, second)
    stream.wait(lambda: stream.status()["service"] == second.model_id, "the true one")
    stream.stop()
    producer.close()
    assert stream.status()["windowed"] == 8_000


def retrain_request(stream: Stream, model_id: str, until: str) -> RetrainRequest:
    """Asks for everything before a date."""
    ends = log_ends(stream.config, client_settings(stream.config.kafka))
    until_ms = time_parser(stream.config.event)(until)
    train = [
        OffsetRange(topic=stream.config.topics.events, partition=p, start=0, end=end, start_ms=0, end_ms=until_ms)
        for p, end in ends.items()
    ]
    return RetrainRequest(
        id=record_id("test", until, model_id),
        stream="air",
        reason="drift",
        slices=["Dongsi"],
        alerts=[],
        model_id=model_id,
        requested_pane_ms=until_ms,
        train=train,
        calibrate_from_ms=until_ms - 14 * 86_400_000,
    )


def test_the_trainer_reads_exactly_the_offsets_asked_for(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    stream.produce(stream.rows(example)[:6_000])
    topic = stream.config.topics.events
    ranges = [
        OffsetRange(topic=topic, partition=0, start=100, end=1_203, start_ms=0, end_ms=2**50),
        OffsetRange(topic=topic, partition=2, start=0, end=1, start_ms=0, end_ms=2**50),
        OffsetRange(topic=topic, partition=3, start=7, end=7, start_ms=0, end_ms=2**50),
    ]
    got = [
        (batch.partition, int(offset))
        for batch in read_ranges(stream.config, ranges, client_settings(stream.config.kafka))
        for offset in batch.offsets
    ]
    assert sorted(got) == [(0, offset) for offset in range(100, 1_203)] + [(2, 0)]


@pytest.mark.parametrize(("gain", "status"), [(-1e6, "promoted"), (1e6, "refused")])
def test_a_request_is_answered_once_with_its_figures(
    make_stream: MakeStream, example: Path, gain: float, status: str
) -> None:
    stream = make_stream()
    far: dict[str, Any] = {"anchor_budget": 0.9, "anchor_nats": 100.0}  # these three weeks are from winter to spring
    trainer_settings = msgspec.structs.replace(stream.config.trainer, promotion="auto", min_gain_nats=gain, **far)
    stream.config = prepare(msgspec.structs.replace(stream.config, trainer=trainer_settings))
    stream.produce(stream.rows(example)[:12_000])
    before = Registry(stream.config).history()
    said: list[str] = []
    trainer = Trainer(stream.config, client_settings(stream.config.kafka), said.append)
    request = retrain_request(stream, before[-1].model_id, "2013-04-10")
    asked = Asked(request, "/driftflow/air/operator")
    notice = trainer.handle(asked)
    assert notice is not None
    is_calibrated_anew = notice.status == "promoted" and notice.train_rows == 0  # where that is all that is needed
    assert notice.status == status or is_calibrated_anew, notice.reason
    assert {"likelihood", "calibration_high", "calibration_low"} <= notice.gates.keys(), notice.reason
    assert "nats" in notice.reason
    again = trainer.handle(asked)
    trainer.close()
    history = Registry(stream.config).history()
    assert again == notice, "answered again it says the same"
    if notice.status == "promoted":
        assert [entry.model_id for entry in history[:-1]] == [entry.model_id for entry in before]
    else:
        assert history == before
    own = trainer_signals(stream.config.topics.partitions)
    on_topic = [json.loads(value) for _, value in stream.signals()[own]]
    assert [(n["model_id"], n["status"], n["tensors"]) for n in on_topic] == [(notice.model_id, notice.status, "")]
