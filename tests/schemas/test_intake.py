"""Whatever a message holds, it comes in as a record or as a reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from schemas import TYPES, Activation, DeadLetter, Envelope, ModelNotice, Refusal, encode_event, take_in
from schemas.bounds import MILLIS_MAX
from schemas.codecs import WireMessage
from schemas.incidents import Action
from schemas.intake import Topic, header_map
from tests.schemas.test_codecs import records

TOPICS: dict[type, Topic] = {DeadLetter: "dead_letters", Action: "actions"}
"""Of those that are no signals."""


def event(**fields: object) -> WireMessage:
    record = Activation(stream="s", topic="events", partition=0, pane_start_ms=0, model_id="m")
    message = encode_event(Envelope(record, "id", "/driftflow/s/score/0", time_ms=0))
    return WireMessage(msgspec.json.encode({**msgspec.json.decode(message.value), **fields}), message.headers)


def reason_of(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> str:
    taken = take_in("signals", "s", value, headers)
    assert isinstance(taken, Refusal), taken
    assert taken.detail
    return taken.reason


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_record_of_ours_comes_in_on_its_topic(name: str) -> None:
    @given(record=records(TYPES[name]))
    def check(record: Any) -> None:
        message = encode_event(Envelope(record, "id", "/driftflow", time_ms=0))
        topic = TOPICS.get(type(record), "signals")
        assert take_in(topic, record.stream, message.value, message.headers) == record
        assert isinstance(take_in(topic, record.stream + "x", message.value, message.headers), Refusal)
        misplaced = take_in("models", record.stream, message.value, message.headers)
        assert misplaced == record if isinstance(record, ModelNotice) else misplaced.reason == "not_ours"

    check()


def test_headers_may_be_null_absent_twice_or_of_others() -> None:
    message = event()
    assert isinstance(take_in("signals", "s", message.value, [*message.headers, ("traceparent", None)]), Activation)
    assert reason_of(message.value, [("ce_type", None)]) == "not_ours"
    assert reason_of(message.value, []) == "not_ours"
    assert take_in("signals", "s", message.value, None).reason == "not_ours"
    assert reason_of(message.value, [("ce_type", b"\xff\xfe")]) == "not_ours"
    assert header_map([("a", b"1"), ("a", b"2"), ("b", None)]) == {"a": b"2"}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"pane_start_ms": -1}, "pane_start_ms"),
        ({"pane_start_ms": MILLIS_MAX + 1}, "pane_start_ms"),
        ({"pane_start_ms": 10**25}, "pane_start_ms"),
        ({"partition": 2**31}, "partition"),
        ({"partition": 0.5}, "partition"),
        ({"model_id": None}, "model_id"),
        ({"model_id": "m" * 201}, "model_id"),
        ({"topic": {"deep": []}}, "topic"),
    ],
)
def test_a_field_out_of_its_range_is_named(fields, where) -> None:
    message = event(**fields)
    taken = take_in("signals", "s", message.value, message.headers)
    assert (taken.reason, taken.field) == ("wrong_type", where)


def test_bytes_that_are_no_record_have_a_reason() -> None:
    headers = list(event().headers)
    assert reason_of(None, headers) == "tombstone"
    assert reason_of(b"", headers) == "undecodable"
    assert reason_of(b"\xff", headers) == "undecodable"
    assert reason_of(b"[" * 100_000, headers) in ("undecodable", "wrong_type")
    assert reason_of(b'{"stream":' * 100_000, headers) in ("undecodable", "wrong_type")
    assert reason_of(b"x" * (16 * 2**20 + 1), headers) == "too_large"


def nested(depth: int) -> str:
    return '{"g":' * depth + "true" + "}" * depth


@pytest.mark.parametrize(
    "gates", ['{"n": 9223372036854775808}', '{"n": [-1e3, {"m": 1' + "0" * 300 + "}]}", nested(20)]
)
def test_gates_that_could_not_be_written_down_again_are_refused(gates: str) -> None:
    notice = ModelNotice(
        model_id="m",
        stream="s",
        status="refused",
        parent_id="",
        request_id="r",
        created_ms=0,
        train_rows=0,
        gates={"here": True},
        reason="",
    )
    message = encode_event(Envelope(notice, "id", "/driftflow", time_ms=0))
    value = message.value.replace(b'{"here":true}', gates.encode())
    assert value != message.value
    taken = take_in("models", "s", value, message.headers)
    assert isinstance(taken, Refusal)
    assert taken.field == "gates" or taken.reason == "wrong_type"
    assert take_in("models", "s", value.replace(gates.encode(), nested(10).encode()), message.headers).gates
