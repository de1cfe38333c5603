"""What is published of our topics is what is sent, by the words of AsyncAPI, JSON Schema and CloudEvents themselves.

``asyncapi-3.1.0.json.gz`` is the JSON Schema of AsyncAPI 3.1.0, from the package ``@asyncapi/specs`` (Apache-2.0).
Their own parser (``@asyncapi/parser``, in Node) finds nothing either.
"""

from __future__ import annotations

import gzip
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings

from flowlib.artifact import Ed25519PrivateKey
from schemas import asyncapi, publish
from schemas.codecs import EVIDENCE_KINDS, PARTIAL_KINDS, TYPES, Envelope, WireMessage, encode_event
from schemas.records import Record
from stream_app.config import parse
from stream_app.config.checking import topic_names
from stream_app.models.signing import sign
from tests.schemas.test_codecs import records

SPECIFICATION = Path(__file__).parent / "asyncapi-3.1.0.json.gz"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ATTRIBUTES = {"id", "source", "type", "specversion", "time", "datacontenttype", "subject"}
CONFIG = parse({"stream": "s", "event": {"time_field": "t", "numeric": ["x"]}})


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it is published."""
    read: dict[str, Any] = yaml.safe_load((publish.FOLDER / "asyncapi.yaml").read_text())
    return read


@pytest.fixture(scope="module")
def specification() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(SPECIFICATION.read_bytes())))


def test_it_is_an_asyncapi_document(document: dict[str, Any], specification: jsonschema.Draft7Validator) -> None:
    assert list(specification.iter_errors(document)) == []
    wrong = {**document, "operations": {"sendSignals": {"action": "shout", "channel": {"$ref": "#/channels/signals"}}}}
    assert list(specification.iter_errors(wrong))


def test_each_topic_is_in_it_under_its_name(document: dict[str, Any]) -> None:
    addresses = {channel["address"].format(stream="s") for channel in document["channels"].values()}
    assert addresses == set(topic_names(CONFIG).values())


def test_each_record_is_in_it_and_each_reference_leads_somewhere(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    listed = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert listed == set(messages)
    assert {message["name"] for message in messages.values()} > {*TYPES, *PARTIAL_KINDS, *EVIDENCE_KINDS}
    for reference in re.findall(r"\$ref: '?(#/[^'\n]+)", (publish.FOLDER / "asyncapi.yaml").read_text()):
        found: Any = document
        for part in reference[2:].split("/"):
            found = found[part]
    for name in TYPES:
        file = publish.FOLDER / messages[asyncapi.short(name)]["payload"]["schema"]["$ref"]
        assert json.loads(file.read_text())["$id"] == f"urn:driftflow:schema:{asyncapi.short(name)}.v1"
    signals = {f"driftflow.{name}.v1" for name in document["channels"]["signals"]["messages"]}
    assert signals == {name for name in TYPES if name not in ("driftflow.dead-letter.v1", "driftflow.action.v1")}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_schemas_are_schemas(name: str) -> None:
    schema = publish.schemas()[f"{name.removeprefix('driftflow.')}.json"]
    jsonschema.Draft202012Validator.check_schema(schema)


def headers_of(message: WireMessage) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_headers_are_those_that_are_published(name: str, document: dict[str, Any]) -> None:
    schema = document["components"]["messages"][asyncapi.short(name)]["headers"]
    check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())

    @settings(max_examples=5)
    @given(records(TYPES[name]))
    def holds(record: Record) -> None:
        message = encode_event(Envelope(record, "id-1", "/driftflow/s", 1_362_096_000_123, "a b"))
        signed = sign(message, KEY) if "df-key" in schema["properties"] else message
        check.validate(headers_of(signed))
        assert headers_of(signed).keys() == schema["properties"].keys()
        with pytest.raises(jsonschema.ValidationError):
            check.validate({**headers_of(signed), "ce_type": "driftflow.other.v1"})

    holds()


@pytest.mark.parametrize("name", sorted(TYPES))
def test_another_project_reads_our_cloudevents(name: str) -> None:
    """The package of CloudEvents takes each record in, finds no fault with it, and can write it in structured mode."""

    @settings(max_examples=5)
    @given(records(TYPES[name]))
    def reads(record: Record) -> None:
        message = encode_event(Envelope(record, "id-1", "/driftflow/s", 1_362_096_000_000, "m"))
        event = from_binary_event(KafkaMessage(dict(message.headers), None, message.value), JSONFormat())
        assert (event.get_id(), event.get_type(), event.get_subject()) == ("id-1", name, "m")
        assert (event.get_source(), event.get_specversion()) == ("/driftflow/s", "1.0")
        assert event.get_time() == datetime.fromisoformat("2013-03-01T00:00:00+00:00")
        assert event.get_datacontenttype() == "application/json"
        assert set(event.get_attributes()) == ATTRIBUTES
        assert event.get_data() == json.loads(message.value)
        structured = json.loads(to_structured_event(event).value)
        assert structured["data"] == json.loads(message.value)

    reads()


def test_a_signature_is_no_attribute_of_a_cloudevent() -> None:
    kind = TYPES["driftflow.activation.v1"]
    record = kind(stream="s", topic="t", partition=1, pane_start_ms=0, model_id="m")
    signed = sign(encode_event(Envelope(record, "id-1", "/driftflow/s", 0)), KEY)
    event = from_binary_event(KafkaMessage(dict(signed.headers), None, signed.value), JSONFormat())
    assert set(event.get_attributes()) == ATTRIBUTES - {"subject"}
