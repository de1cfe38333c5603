"""A signature covers the whole message, and nothing that others add on the way."""

from __future__ import annotations

import pytest

from flowlib.artifact import Ed25519PrivateKey, key_id
from schemas import Activation, Envelope, encode_event
from schemas.codecs import WireMessage
from schemas.signing import KEY_ID, SIGNATURE, is_signature
from stream_app.models.signing import sign, signature_fault

KEY = Ed25519PrivateKey.generate()
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture
def message() -> WireMessage:
    record = Activation(stream="s", topic="events", partition=0, pane_start_ms=0, model_id="m")
    return sign(encode_event(Envelope(record, "id", "/driftflow/s/score/0", time_ms=0, subject="m")), KEY)


def reason(value: bytes, headers, trusted=TRUSTED) -> str:
    fault = signature_fault(value, headers, trusted)
    assert fault is None or fault.detail
    return fault.reason if fault else ""


def test_a_signed_message_is_believed_also_with_headers_of_others(message: WireMessage) -> None:
    assert reason(message.value, message.headers) == ""
    assert reason(message.value, [("traceparent", b"1"), ("x", None), *reversed(message.headers)]) == ""
    bare = WireMessage(message.value, tuple(h for h in message.headers if not is_signature(h[0])))
    assert sign(bare, KEY) == message


@pytest.mark.parametrize("name", ["ce_type", "ce_id", "ce_time", "ce_source", "ce_subject", "content-type"])
def test_no_header_of_ours_can_be_changed_left_out_or_nulled(message: WireMessage, name: str) -> None:
    for value in (b"x", b"", None):
        changed = [(h, value if h == name else v) for h, v in message.headers]
        assert reason(message.value, changed) == "bad_signature"
    assert reason(message.value, [h for h in message.headers if h[0] != name]) == "bad_signature"


def test_no_byte_can_be_changed_and_no_header_added(message: WireMessage) -> None:
    for i in range(len(message.value)):
        flipped = message.value[:i] + bytes([message.value[i] ^ 1]) + message.value[i + 1 :]
        assert reason(flipped, message.headers) == "bad_signature"
    assert reason(message.value, [*message.headers, ("ce_more", b"1")]) == "bad_signature"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({SIGNATURE: None}, "unsigned"),
        ({SIGNATURE: b""}, "unsigned"),
        ({SIGNATURE: b"zz"}, "bad_signature"),
        ({SIGNATURE: b"00" * 64}, "bad_signature"),
        ({SIGNATURE: b"0" * 10_000}, "bad_signature"),
        ({SIGNATURE: b"\xff" * 128}, "bad_signature"),
        ({KEY_ID: b"another"}, "untrusted_key"),
        ({KEY_ID: b"\xff"}, "untrusted_key"),
        ({KEY_ID: None}, "untrusted_key"),
    ],
)
def test_a_signature_that_is_none_is_a_reason(message: WireMessage, headers, expected: str) -> None:
    changed = [(name, headers.get(name, value)) for name, value in message.headers]
    assert reason(message.value, changed) == expected


def test_the_key_of_another_is_not_trusted(message: WireMessage) -> None:
    other = Ed25519PrivateKey.generate().public_key()
    assert reason(message.value, message.headers, {key_id(other): other}) == "untrusted_key"
    assert reason(message.value, message.headers, {key_id(KEY.public_key()): other}) == "bad_signature"
