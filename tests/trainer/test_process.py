"""What the trainer does with a request: answer it once, and write things down in the order that a crash allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import decode_event
from schemas.records import ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.registry import Entry, Registry
from stream_app.stages.batches import EventBatch
from stream_app.trainer import process
from stream_app.trainer.process import Trainer
from tests.trainer.fakes import FakeProducer
from tests.trainer.test_answering import DAYS, config_in, request, rows


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = config_in(tmp_path, budget_per_day=2)
    names = {"signals": "s.signals", "models": "s.models"}
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, **names))


def batches() -> list[EventBatch]:
    """The rows that answer requests of the tests, as a topic hands them out."""
    table, index = rows(), np.arange(DAYS * 24)
    slices = table.slices[:, None]
    return [EventBatch("e", 0, index, index, table.time_ms, table.numeric, slices[:, :0], slices)]


def trainer_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Trainer, FakeProducer, list[str]]:
    producer, said = FakeProducer(), list[str]()
    monkeypatch.setattr(process, "make_producer", lambda _: producer)
    monkeypatch.setattr(process, "read_ranges", lambda *_: batches())
    return Trainer(config, {}, said.append), producer, said


def test_a_promoted_model_is_saved_published_told_and_only_then_promoted(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, producer, _ = trainer_of(config, monkeypatch)
    steps: list[str] = []
    for name in ("save", "record", "promote"):
        done = getattr(Registry, name)
        monkeypatch.setattr(Registry, name, lambda *a, name=name, done=done: (steps.append(name), done(*a))[1])
    send = producer.send
    monkeypatch.setattr(producer, "send", lambda topic, **rest: (steps.append(topic), send(topic, **rest))[1])
    notice = trainer.handle(request())
    assert notice is not None
    assert notice.status == "promoted", notice.reason
    assert steps == ["save", "record", "s.models", "s.signals", "promote"]
    whole, brief = (decode_event(record.value, record.headers) for record in producer.sent)
    assert whole == notice
    assert isinstance(brief, ModelNotice)
    assert (brief.model_id, brief.tensors) == (notice.model_id, b"")
    current = Registry(config).current()
    assert current is not None
    assert current.model_id == notice.model_id


def test_a_refused_request_is_told_and_promotes_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = msgspec.structs.replace(config, trainer=msgspec.structs.replace(config.trainer, min_rows=10_000))
    trainer, producer, said = trainer_of(strict, monkeypatch)
    notice = trainer.handle(request())
    assert notice is not None
    assert (notice.status, len(producer.sent)) == ("refused", 2)
    assert Registry(strict).history() == []
    assert [kept.status for kept in Registry(strict).notices()] == ["refused"]
    assert "too few rows" in said[-1]


def ask(number: int, pane_ms: int, model_id: str) -> RetrainRequest:
    return msgspec.structs.replace(request(model_id, number=number), requested_pane_ms=pane_ms)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (ask(1, 10, "m1"), "it has been answered already"),
        (ask(9, 30, "m1"), "model m1 has been replaced by m2 since"),
        (ask(9, 30, ""), "model none has been replaced by m2 since"),
        (ask(9, 30, "m2"), "the budget of 2 models a day is spent"),
    ],
)
def test_a_request_that_needs_no_model_trains_none(
    config: Config, monkeypatch: pytest.MonkeyPatch, asked: RetrainRequest, reason: str
) -> None:
    trainer, producer, said = trainer_of(config, monkeypatch)
    registry = Registry(config)
    registry.promote(Entry("m1", "request-1", 10))
    registry.promote(Entry("m2", "request-2", 20))
    assert trainer.handle(asked) is None
    assert said == [f"request {asked.id[:8]} needs no new model: {reason}"]
    assert producer.sent == []


def test_bytes_that_are_no_request_are_skipped(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer, _, _ = trainer_of(config, monkeypatch)

    def record(value: bytes, kind: str = "driftflow.retrain-request.v1") -> Any:
        return type(
            "R",
            (),
            {
                "topic": "s.signals",
                "partition": 0,
                "offset": 7,
                "value": value,
                "headers": [("ce_type", kind.encode())],
            },
        )()

    assert trainer._request(record(b"nonsense")) is None
    assert "s.signals/0@7 is skipped" in caplog.text
    assert trainer._request(record(msgspec.json.encode(request()), "driftflow.alert.v9")) is None
    other = msgspec.structs.replace(request(), stream="another")
    assert trainer._request(record(msgspec.json.encode(other))) is None
    assert trainer._request(record(msgspec.json.encode(request()))) == request()


def test_a_bootstrap_is_the_way_out_where_the_model_in_service_fits_no_more(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its columns were others: a request from the stream says so, and what was asked for by hand starts anew."""
    trainer, _, _ = trainer_of(config, monkeypatch)
    first = trainer.handle(request())
    assert first is not None
    assert first.status == "promoted", first.reason
    renamed = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, numeric=["x", "z"]))
    trainer, _, said = trainer_of(renamed, monkeypatch)
    later = msgspec.structs.replace(
        request(number=1), requested_pane_ms=first.created_ms + int(config.retrain.cooldown) + 1
    )
    with pytest.raises(ModelError, match="is not accepted"):
        trainer.handle(later)
    notice = trainer.handle(msgspec.structs.replace(later, reason="bootstrap"))
    assert notice is not None
    assert (notice.status, notice.parent_id) == ("promoted", ""), notice.reason
    assert any("is not compared with" in line for line in said)
