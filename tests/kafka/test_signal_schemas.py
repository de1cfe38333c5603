"""Signals with the header of a schema registry: Confluent's own client reads them, and everybody here as without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import TYPES, Envelope, WireMessage, decode_event, encode_event, header_map, take_in
from schemas.framing import framed, unframed
from schemas.intake import SIGNALS
from schemas.signing import digest
from stream_app.config import Config, parse
from stream_app.errors import DriftflowError
from stream_app.kafka.schema_registry import RegistryError
from stream_app.kafka.signal_schemas import SignalFrames, signal_frames, subject_of
from stream_app.models.signing import sign, signature_fault
from tests.kafka.fake_registry import FakeRegistry, registry_runs
from tests.people import incident
from tests.schemas.test_codecs import records
from tests.stages.score.formats.making import EVENT
from tests.worker.making import KEY

TOPIC = "s.signals"


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with registry_runs() as running:
        yield running


def stream(fake: FakeRegistry, root: Path, **section: Any) -> Config:
    registry = {"url": fake.url, "timeout": "2s", "signals": True, **section}
    return parse(
        {"stream": "s", "topics": {"events": "e"}, "event": EVENT, "schema_registry": registry, "root": str(root)}
    )


def sent(frames: SignalFrames, message: WireMessage) -> bytes:
    return frames.value(TOPIC, message.value, message.headers)


@pytest.mark.parametrize("kind", SIGNALS)
def test_confluents_deserializer_reads_every_kind_by_the_schema_that_was_registered(
    kind: str, fake: FakeRegistry, tmp_path: Path
) -> None:
    frames, client = signal_frames(stream(fake, tmp_path)), SchemaRegistryClient({"url": fake.url})
    read = JSONDeserializer(None, schema_registry_client=client)  # it validates by the schema that the id names

    @settings(max_examples=10)
    @given(record=records(TYPES[kind]))
    def check(record: Any) -> None:
        message = encode_event(Envelope(record, "id", "/driftflow/s", time_ms=0))
        value = sent(frames, message)
        assert read(value, SerializationContext(TOPIC, MessageField.VALUE)) == json.loads(message.value)

    check()
    assert fake.registered[subject_of(TOPIC, kind)] == [json.loads(fake_id) for fake_id in ids_of(fake, kind)]


def ids_of(fake: FakeRegistry, kind: str) -> list[str]:
    wanted = f"urn:driftflow:schema:{kind.removeprefix('driftflow.')}"
    return [str(one) for one, entry in fake.schemas.items() if json.loads(entry["schema"])["$id"] == wanted]


def test_confluents_deserializer_refuses_what_has_no_header(fake: FakeRegistry) -> None:
    read = JSONDeserializer(None, schema_registry_client=SchemaRegistryClient({"url": fake.url}))
    message = encode_event(Envelope(incident(), "id", "/driftflow/s", time_ms=0))
    with pytest.raises(SerializationError):
        read(message.value, SerializationContext(TOPIC, MessageField.VALUE))


@given(schema_id=st.integers(0, 2**32 - 1))
def test_the_header_changes_no_record_and_no_signature(schema_id: int) -> None:
    record = incident()
    message = sign(encode_event(Envelope(record, "id", "/driftflow/s", time_ms=0)), KEY)
    value, headers = framed(schema_id, message.value), message.headers
    assert value[:5] == b"\0" + schema_id.to_bytes(4, "big")
    assert unframed(value) == message.value
    assert take_in("signals", "s", value, headers) == decode_event(value, headers) == record
    assert digest(value, header_map(headers)) == digest(message.value, header_map(headers))
    trusted = {header_map(headers)["df-key"].decode(): KEY.public_key()}
    assert signature_fault(value, headers, trusted) is None
    altered = framed(schema_id, message.value.replace(b"Dongsi", b"Gucheng"))
    assert signature_fault(altered, headers, trusted).reason == "bad_signature"  # type: ignore[union-attr]


def test_only_signals_have_one_and_only_there_it_is_read() -> None:
    message = encode_event(Envelope(incident(), "id", "/driftflow/s", time_ms=0))
    frames = SignalFrames(TOPIC, {"driftflow.incident.v1": 7})
    assert sent(frames, message) == framed(7, message.value)
    assert frames.value("s.models", message.value, message.headers) == message.value
    assert frames.value(TOPIC, b"{}", (("ce_type", b"driftflow.later.v1"),)) == b"{}"
    assert sent(SignalFrames(TOPIC, {}), message) == message.value
    for topic in ("actions", "models"):
        assert take_in(topic, "s", framed(7, message.value), message.headers).reason == "not_ours"  # type: ignore


@pytest.mark.parametrize("value", [b"\0", b"\0\0\0\0\7", b"\0\0\0\0\7{", b"\0\0\0\0\7\0\0\0\0\7{}"])
def test_a_header_with_nothing_of_use_behind_it_is_refused(value: bytes) -> None:
    message = encode_event(Envelope(incident(), "id", "/driftflow/s", time_ms=0))
    assert take_in("signals", "s", value, message.headers).reason == "undecodable"  # type: ignore[union-attr]


def test_each_start_asks_again_and_one_without_an_answer_goes_on_with_the_ids_of_before(
    fake: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, message = stream(fake, tmp_path), encode_event(Envelope(incident(), "id", "/driftflow/s", time_ms=0))
    fake.add(1, "an older one")
    first = sent(signal_frames(config), message)
    assert set(fake.registered) == {f"{TOPIC}-{kind}" for kind in SIGNALS}
    assert sent(signal_frames(config), message) == first
    assert all(len(versions) == 1 for versions in fake.registered.values())
    fake.mode = "500"
    assert sent(signal_frames(config), message) == first
    assert "signals have the ids that the schema registry gave before" in caplog.text
    with pytest.raises(RegistryError, match="answers 500"):
        signal_frames(stream(fake, tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (409, "subject s.signals-driftflow.incident.v1: .* answers 409, .* compatibility is FORWARD or NONE"),
        (422, "answers 422, it takes no such schema"),
        (403, "answers 403, this user may not"),
    ],
)
def test_a_schema_that_is_refused_is_said_with_its_subject_and_a_remedy(
    status: int, says: str, fake: FakeRegistry, tmp_path: Path
) -> None:
    fake.refuses["s.signals-driftflow.incident.v1"] = status
    with pytest.raises(DriftflowError, match=says):
        signal_frames(stream(fake, tmp_path))


def test_nobody_is_asked_where_signals_have_none(fake: FakeRegistry, tmp_path: Path) -> None:
    signal_frames(stream(fake, tmp_path, signals=False, url=""))
    assert fake.asked == []
