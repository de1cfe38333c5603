"""The numbers of the notices decide, whatever their order and whatever is forged in between."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.artifact import Ed25519PrivateKey, key_id
from schemas.intake import Refusal
from schemas.records import ModelNotice
from stream_app.kafka.types import TopicPartition
from stream_app.models.sequence import Notices
from tests.worker.making import KEY, notice, notice_record, record

MODELS = TopicPartition("s.models", 0)
STRANGER = Ed25519PrivateKey.generate()
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}


def of(sent: ModelNotice, key: Ed25519PrivateKey | None = KEY) -> Any:
    """A notice as a record."""
    return notice_record(MODELS, 0, sent, key)


def altered(genuine: Any, old: bytes, new: bytes) -> Any:
    """A signed record with other bytes."""
    assert old in genuine.value
    return record(MODELS, 0, genuine.value.replace(old, new), genuine.headers)


def enter_all(records: list[Any]) -> tuple[Notices, list[str]]:
    """Every record taken, the genuine ones entered; the reasons of the others."""
    notices, reasons = Notices("s"), []
    for one in records:
        taken = notices.take(one.value, one.headers, TRUSTED)
        if isinstance(taken, Refusal):
            reasons.append(taken.reason)
        elif not notices.knows(taken):
            notices.enter(taken)
    return notices, reasons


GENUINE = [notice(f"m{n}", "refused" if n % 3 == 0 else "promoted", sequence=n) for n in range(1, 8)]
SIGNED = [of(sent) for sent in GENUINE]
FORGED = [
    (record(MODELS, 0, None, []), "tombstone"),
    (record(MODELS, 0, b"junk", [("ce_type", b"driftflow.model-notice.v1")]), "undecodable"),
    (record(MODELS, 0, SIGNED[0].value, [(name, None) for name, _ in SIGNED[0].headers]), "not_ours"),
    (of(notice("forged", sequence=99), STRANGER), "untrusted_key"),
    (of(notice("unsigned", sequence=98), None), "unsigned"),
    (of(notice("elsewhere", sequence=97, stream="another")), "other_stream"),
    (altered(SIGNED[2], b'"refused"', b'"promoted"'), "bad_signature"),
    (altered(SIGNED[4], b'"sequence":5', b'"sequence":9'), "bad_signature"),
    (of(notice("unnumbered")), "stale"),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_in_any_order_and_however_often_the_same_model_is_in_service(data: st.DataObject) -> None:
    genuine = [(one, "") for one in SIGNED]
    more = data.draw(st.lists(st.sampled_from([*genuine, *FORGED]), max_size=30))
    drawn = data.draw(st.permutations([*genuine, *more]))
    notices, reasons = enter_all([one for one, _ in drawn])
    assert (notices.model_id, notices.sequence) == ("m7", 7)
    assert reasons == [reason for _, reason in drawn if reason]


@given(st.permutations(SIGNED), st.integers(1, 7))
def test_what_is_missing_changes_only_what_is_newest(order: list[Any], kept: int) -> None:
    """After a compaction or at a start, part of the topic is there."""
    seen = order[:kept]
    notices, _ = enter_all(seen)
    promoted = [sent for sent, one in zip(GENUINE, SIGNED, strict=True) if one in seen and sent.status == "promoted"]
    assert notices.model_id == max(promoted, key=lambda sent: sent.sequence, default=notice("")).model_id


@pytest.mark.parametrize("second", [notice("other", sequence=1), notice("m", sequence=1, reason="another")])
def test_of_two_with_one_number_the_first_counts(second: ModelNotice) -> None:
    notices, reasons = enter_all([of(notice("m", sequence=1)), of(second), of(notice("m", sequence=1))])
    assert (notices.model_id, reasons) == ("m", ["stale"])


def test_signed_by_another_key_it_is_the_same_notice() -> None:
    """As after a rotation: the model's own signature and key have changed too."""
    again = notice("m", sequence=1, signature=b"new", key_id="another")
    assert enter_all([of(notice("m", sequence=1, signature=b"old")), of(again)])[1] == []


@pytest.mark.parametrize("status", ["refused", "covered"])
def test_only_a_promotion_puts_a_model_in_service(status: str) -> None:
    notices, reasons = enter_all([of(notice("m", sequence=1)), of(notice("n", status, sequence=2))])
    assert (notices.model_id, notices.sequence, reasons) == ("m", 1, [])


@pytest.mark.parametrize("status", ["candidate", "waiting"])
def test_a_model_that_is_on_its_way_takes_nothing_over(status: str) -> None:
    on_its_way, promoted = notice("b", status, sequence=2), notice("b", sequence=3)
    notices, reasons = enter_all([of(notice("a", sequence=1)), of(on_its_way)])
    assert (notices.model_id, reasons) == ("a", [])
    assert not notices.is_newest(on_its_way)
    assert enter_all([of(on_its_way), of(promoted), of(on_its_way)])[0].model_id == "b"
