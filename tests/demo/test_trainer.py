"""The demo's trainer answers what has been asked, each request once, in order of event time whatever the partition."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, encode_event
from schemas.records import RetrainRequest
from stream_app.demo import trainer
from stream_app.errors import DriftflowError
from stream_app.models.keys import Trust
from stream_app.models.signing import sign
from stream_app.trainer.requests.believing import Asked
from tests.demo.storing import config_in


def request(name: str, pane_ms: int, stream: str = "s") -> RetrainRequest:
    return RetrainRequest(
        id=name,
        stream=stream,
        reason="drift",
        slices=["north"],
        alerts=[],
        model_id="m0",
        requested_pane_ms=pane_ms,
        train=[],
        calibrate_from_ms=0,
    )


KEY = Ed25519PrivateKey.generate()
SHADOW: list[bool] = []
"""What the trainer says next of whether its candidate is compared still."""


def message(record: RetrainRequest, key: Ed25519PrivateKey | None = KEY) -> Any:
    wire = encode_event(Envelope(record, record.id, f"/driftflow/{record.stream}/operator", 0))
    wire = wire if key is None else sign(wire, key)
    return SimpleNamespace(value=wire.value, headers=list(wire.headers), partition=0)


class Rounds:
    """Standard input of the trainer: before each word more requests have come, in the order of the polls."""

    def __init__(self, rounds: list[list[RetrainRequest]]) -> None:
        self.rounds = rounds
        kind = [("ce_type", b"driftflow.retrain-request.v1")]
        self.signals = [SimpleNamespace(value=b"{", headers=kind, partition=0), message(request("forged", 1), None)]

    def __iter__(self) -> Any:
        for requests in self.rounds:
            self.signals += [message(record) for record in requests]
            yield "answer\n"


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Ids of the requests that the product's trainer was given."""
    ids: list[str] = []

    class Fake:
        def __init__(self, *_: Any) -> None:
            pass

        def handle(self, asked: Asked) -> Any:
            return self.bootstrap(asked.request)

        def bootstrap(self, record: RetrainRequest) -> Any:
            ids.append(record.id)
            return SimpleNamespace(status="promoted" if record.reason != "refused" else "refused", reason="too strange")

        def go_on(self) -> bool:
            return bool(SHADOW) and SHADOW.pop(0)

        def has_compared(self, ends: dict[int, int]) -> bool:
            assert ends == {0: 5}
            return not SHADOW or not SHADOW[0]

        def close(self) -> None:
            ids.append("closed")

    config = config_in(tmp_path)
    monkeypatch.setattr(trainer, "Trainer", Fake)
    monkeypatch.setattr(trainer, "load", lambda _: config)
    monkeypatch.setattr(trainer, "prepare", lambda config: config)
    monkeypatch.setattr(trainer, "preflight", lambda *_: [])
    monkeypatch.setattr(trainer, "prepare_process", lambda: None)
    trusted = {artifact.key_id(KEY.public_key()): KEY.public_key()}
    monkeypatch.setattr(Trust, "of_requests", lambda _: SimpleNamespace(keys=lambda: trusted))
    monkeypatch.setattr(trainer, "log_ends", lambda *_: {0: 5})
    monkeypatch.setattr(trainer, "bootstrap_request", lambda *_: request("first", 0))
    return ids


def run(monkeypatch: pytest.MonkeyPatch, rounds: list[list[RetrainRequest]]) -> str:
    words, replies = Rounds(rounds), io.StringIO()
    monkeypatch.setattr(trainer, "read_signals", lambda _: iter(words.signals))
    monkeypatch.setattr(sys, "stdin", words)
    monkeypatch.setattr(sys, "stdout", replies)
    trainer.main("driftflow.toml", 0)
    return replies.getvalue()


def test_requests_are_answered_by_event_time(monkeypatch: pytest.MonkeyPatch, handled: list[str]) -> None:
    early, late, tie = request("e", 10), request("l", 30), request("a", 10)
    replies = run(monkeypatch, [[late, early, tie, request("other", 1, stream="another")], [], [request("n", 20)]])
    assert handled == ["first", "a", "e", "l", "n", "closed"]
    assert replies == "answered\n" * 4, "one for the first model, one for each word"


def test_requests_wait_for_a_candidate_that_is_compared(monkeypatch: pytest.MonkeyPatch, handled: list[str]) -> None:
    SHADOW[:] = [True, True, False, True, False]  # all there is, and not decided; then more, and it is
    replies = run(monkeypatch, [[request("e", 10)], [], []])
    assert handled == ["first", "e", "closed"]
    assert replies == "answered\n" * 4
    assert SHADOW == []


def test_without_a_first_model_there_is_no_demo(monkeypatch: pytest.MonkeyPatch, handled: list[str]) -> None:
    refused = msgspec.structs.replace(request("first", 0), reason="refused")
    monkeypatch.setattr(trainer, "bootstrap_request", lambda *_: refused)
    with pytest.raises(DriftflowError, match="no first model: too strange"):
        run(monkeypatch, [[]])
    assert handled == ["first"]
