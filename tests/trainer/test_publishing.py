"""Models onto their topic: the whole notice, in order, and nothing where a file is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from kafka.errors import KafkaTimeoutError

from flowlib import artifact
from schemas.codecs import decode_event
from schemas.framing import framed, unframed
from schemas.intake import take_in
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.kafka.signal_schemas import SignalFrames
from stream_app.models.keys import signing_key, trusted_keys
from stream_app.models.keys.commands import revoke_key, rotate_key
from stream_app.models.loading import artifact_of
from stream_app.models.registry import Registry
from stream_app.models.signing import signature_fault
from stream_app.trainer import publishing
from stream_app.trainer.publishing import notice_message, publish, publish_registry, tell
from tests.models.streams import ABOUT, config_in, density, notice_of
from tests.trainer.fakes import FakeProducer


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = config_in(tmp_path)
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, models="s.models"))


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    fake = FakeProducer()
    monkeypatch.setattr(publishing, "make_producer", lambda _: fake)
    return fake


def kept(config: Config, number: int) -> artifact.Artifact:
    """A model in the registry with its notice."""
    model = artifact.pack(replace(density(), manifest={**ABOUT, "number": number}), signing_key(config))
    registry = Registry(config)
    registry.save(model)
    registry.record(msgspec.structs.replace(notice_of(model.model_id), key_id=model.key_id, created_ms=number))
    return model


def test_a_notice_is_told_behind_a_registrys_header_where_it_has_one(config: Config) -> None:
    producer, notice, key = FakeProducer(), notice_of(kept(config, 1).model_id), signing_key(config)
    tell(producer, config, notice, key, SignalFrames(config.topics.signals, {"driftflow.model-notice.v1": 9}))
    publish(producer, config, notice, key)
    told, published = producer.sent
    assert told.value == framed(9, unframed(told.value))
    assert published.value == unframed(published.value)
    assert take_in("signals", config.stream, told.value, told.headers) == notice
    assert signature_fault(told.value, told.headers, trusted_keys(config)) is None


def test_a_notice_travels_whole_under_the_models_id(config: Config) -> None:
    producer, model = FakeProducer(), kept(config, 1)
    parts = {"manifest": model.manifest, "tensors": model.tensors, "signature": model.signature, "key_id": model.key_id}
    notice = msgspec.structs.replace(notice_of(model.model_id), **parts)
    publish(producer, config, notice)
    (record,) = producer.sent
    assert (record.topic, record.key, record.partition) == ("s.models", model.model_id.encode(), 0)
    assert decode_event(record.value, record.headers) == notice
    assert dict(record.headers)["ce_subject"] == model.model_id.encode()


def test_the_same_notice_is_the_same_message(config: Config) -> None:
    key = signing_key(config)
    assert notice_message(config, notice_of("m"), key) == notice_message(config, notice_of("m"), key)
    ids = {dict(notice_message(config, notice_of(name), key).headers)["ce_id"] for name in ("m", "n")}
    assert len(ids) == 2


def test_a_notice_is_signed_whole(config: Config) -> None:
    message, trusted = notice_message(config, notice_of("m"), signing_key(config)), trusted_keys(config)
    assert signature_fault(message.value, message.headers, trusted) is None
    forged = message.value.replace(b"calibration: held", b"calibration: lost")
    fault = signature_fault(forged, message.headers, trusted)
    assert fault is not None
    assert fault.reason == "bad_signature"


def test_a_registry_is_published_oldest_first_and_refused_models_are_not(
    config: Config, producer: FakeProducer
) -> None:
    models = [kept(config, 1), kept(config, 2)]
    Registry(config).record(notice_of("refused-1", "refused"))
    assert publish_registry(config, {}) == [model.model_id for model in models]
    notices = [decode_event(record.value, record.headers) for record in producer.sent]
    assert [artifact_of(notice) for notice in notices if isinstance(notice, ModelNotice)] == models
    assert [notice.sequence for notice in notices if isinstance(notice, ModelNotice)] == [1, 2], "as they were numbered"
    trusted = trusted_keys(config)
    assert not any(signature_fault(record.value, record.headers, trusted) for record in producer.sent)
    assert producer.closed


def test_what_a_revoked_key_has_signed_keeps_nothing_back(config: Config, producer: FakeProducer) -> None:
    first = kept(config, 1)
    rotate_key(config, "trainer")
    last = kept(config, 2)
    assert publish_registry(config, {}) == [first.model_id, last.model_id], "a former key is trusted"
    revoke_key(config, first.key_id, sure=True)
    assert publish_registry(config, {}) == [last.model_id]
    rotate_key(config, "trainer")
    revoke_key(config, last.key_id, sure=True)
    with pytest.raises(ModelError, match=last.model_id):
        publish_registry(config, {})
    assert len(producer.sent) == 3


def test_nothing_is_published_where_a_file_is_damaged(config: Config, producer: FakeProducer, tmp_path: Path) -> None:
    _, last = kept(config, 1), kept(config, 2)
    path = tmp_path / "models" / f"{last.model_id}.model"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=path.name):
        publish_registry(config, {})
    assert producer.sent == []


def test_a_broker_that_takes_no_model_is_a_sentence(config: Config, producer: FakeProducer) -> None:
    kept(config, 1)
    producer.refuses = KafkaTimeoutError("no answer")
    with pytest.raises(DriftflowError, match=r"s\.models cannot be written: .*no answer; check kafka\.bootstrap"):
        publish_registry(config, {})
    assert producer.closed
