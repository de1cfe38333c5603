"""A message that could not be used is in the dead letters: where it is, why, and how it begins."""

from __future__ import annotations

import hashlib

import pytest

from schemas.intake import Refusal, take_in
from schemas.records import DeadLetter
from stream_app.stages.dead_letters import BODY_BYTES_MAX, dead_letter
from tests.stages import streams

CONFIG = streams.config()
REFUSAL = Refusal("wrong_type", "created_ms", "Expected `int` <= 253402300799999 - at `$.created_ms`")


@pytest.mark.parametrize("value", [None, b"", b"\x00\xff", b"x" * 100_000])
def test_it_says_which_message_and_why(value: bytes | None) -> None:
    sent = dead_letter(CONFIG, CONFIG.topics.models, 2, 7, REFUSAL, value)
    letter = take_in("dead_letters", CONFIG.stream, sent.value, sent.headers)
    body = value or b""
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.partition, letter.offset) == (CONFIG.topics.models, 2, 7)
    assert (letter.reason, letter.field, letter.detail) == ("wrong_type", "created_ms", REFUSAL.detail)
    assert (letter.size, letter.body) == (len(body), body[:BODY_BYTES_MAX])
    assert letter.sha256 == hashlib.sha256(body).hexdigest()
    assert (sent.role, sent.partition) == ("dead_letters", 0)
    assert dict(sent.headers)["ce_source"] == b"/driftflow/s/models/2"


def test_the_id_is_of_the_message() -> None:
    first = dead_letter(CONFIG, "t", 0, 1, REFUSAL, b"a")
    assert first == dead_letter(CONFIG, "t", 0, 1, REFUSAL, b"a")
    others = [dead_letter(CONFIG, *place, REFUSAL, b"a") for place in (("t", 0, 2), ("t", 1, 1), ("u", 0, 1))]
    assert len({dict(sent.headers)["ce_id"] for sent in (first, *others)}) == 4


def test_no_reason_is_too_long_to_be_read_again() -> None:
    sent = dead_letter(CONFIG, "t", 0, 1, Refusal("not_ours", "f" * 9_999, "d" * 99_999), b"a")
    assert isinstance(take_in("dead_letters", CONFIG.stream, sent.value, sent.headers), DeadLetter)
