"""A request is believed when a trusted key has signed it whole, on the partition of whoever it says it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, encode_event
from schemas.intake import Refusal
from schemas.records import ServiceChange
from stream_app.models.signing import sign
from stream_app.trainer.requests.believing import Asked, believed
from tests.trainer.asking import WIDTH, WRITER, ask, message, record, stream_in

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
TRUSTED = {artifact.key_id(KEY.public_key()): KEY.public_key()}
KIND = ("ce_type", b"driftflow.retrain-request.v1")
OPERATOR = "/driftflow/s/operator"


def reason(tmp_path: Path, fetched: Any) -> str:
    found = believed(stream_in(tmp_path), TRUSTED, fetched)
    assert isinstance(found, Refusal)
    return found.reason


@pytest.mark.parametrize(
    ("source", "partition"), [(WRITER, WIDTH), (OPERATOR, WIDTH), (f"{OPERATOR}/anna", 0), (OPERATOR, WIDTH + 1)]
)
def test_a_signed_request_is_believed_on_its_writers_partition(tmp_path: Path, source: str, partition: int) -> None:
    found = believed(stream_in(tmp_path), TRUSTED, message(ask(), KEY, source, partition))
    assert found == Asked(ask(), source)


@pytest.mark.parametrize(
    ("source", "partition"),
    [
        (WRITER, WIDTH + 1),
        (WRITER, 0),
        (WRITER, WIDTH + 7),
        ("/driftflow/s/watch/0", WIDTH),
        (f"{WRITER}/0", WIDTH),
        ("/driftflow/t/judge", WIDTH),
        ("/driftflow/s/operators", WIDTH),
        ("/", WIDTH),
        (WRITER + 300 * " ", WIDTH),
    ],
)
def test_a_signed_request_from_elsewhere_is_not(tmp_path: Path, source: str, partition: int) -> None:
    assert reason(tmp_path, message(ask(), KEY, source, partition)) == "not_accepted"


def test_where_workers_and_trainer_count_in_two_ways_it_is_said(tmp_path: Path) -> None:
    found = believed(stream_in(tmp_path), TRUSTED, message(ask(), KEY, WRITER, 9))
    assert isinstance(found, Refusal)
    assert f"its {tmp_path}/state/shape.json and this trainer's (" in found.detail


def test_what_nobody_trusted_has_signed_is_not_believed(tmp_path: Path) -> None:
    assert reason(tmp_path, message(ask(), None)) == "unsigned"
    assert reason(tmp_path, message(ask(), STRANGER)) == "untrusted_key"
    altered = message(ask(), KEY)
    altered.value = msgspec.json.encode(ask(pane_ms=5))
    assert reason(tmp_path, altered) == "bad_signature"
    renamed = message(ask(), KEY)
    renamed.headers = [(name, b"/driftflow/s/operator" if name == "ce_source" else v) for name, v in renamed.headers]
    assert reason(tmp_path, renamed) == "bad_signature"


@pytest.mark.parametrize(
    ("fetched", "why"),
    [
        (record(None, [KIND]), "tombstone"),
        (record(b"garbage"), "not_ours"),
        (record(b"garbage", None), "not_ours"),
        (record(b"{}", [("ce_type", None)]), "not_ours"),
        (record(b"garbage", [KIND]), "undecodable"),
        (record(b"{}", [KIND]), "wrong_type"),
        (record(msgspec.json.encode(ask(pane_ms=2**62)), [KIND]), "wrong_type"),
        (record(msgspec.json.encode(ask(stream="t")), [KIND]), "other_stream"),
        (record(b"{}", [("ce_type", b"driftflow.alert.v9")]), "not_ours"),
    ],
)
def test_what_is_no_message_of_ours_says_why(tmp_path: Path, fetched: Any, why: str) -> None:
    assert reason(tmp_path, fetched) == why


def test_other_signals_are_not_for_the_trainer(tmp_path: Path) -> None:
    said = b'{"stream":"s","topic":"e","partition":0,"pane_start_ms":0,"model_id":"m"}'
    fetched = record(said, [("ce_type", b"driftflow.activation.v1")])
    assert believed(stream_in(tmp_path), TRUSTED, fetched) is None


def changed(key: Ed25519PrivateKey | None, source: str = WRITER, partition: int = WIDTH) -> Any:
    change = ServiceChange(
        id="c", stream="s", verb="rollback", model_id="m", returns_to="n", by="ann", pane_end_ms=5, why="bad"
    )
    wire = encode_event(Envelope(change, change.id, source, 5))
    wire = wire if key is None else sign(wire, key)
    return record(wire.value, list(wire.headers), partition)


def test_that_another_model_is_in_service_is_believed_of_the_worker_that_judges(tmp_path: Path) -> None:
    found = believed(stream_in(tmp_path), TRUSTED, changed(KEY))
    assert isinstance(found, ServiceChange)
    assert (found.verb, found.model_id) == ("rollback", "m")
    assert reason(tmp_path, changed(None)) == "unsigned"
    assert reason(tmp_path, changed(STRANGER)) == "untrusted_key"
    assert reason(tmp_path, changed(KEY, partition=WIDTH + 1)) == "not_accepted"
