"""From a request to a promoted or refused model, and the registry's record of it. No Kafka."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib import artifact
from flowlib.table import DAY_MS, Table
from schemas.records import MODEL_BYTES_MAX, OffsetRange, RetrainRequest
from stream_app.config import Config, EventConfig, ModelConfig, TopicsConfig, TrainerConfig
from stream_app.errors import ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.trainer import training
from stream_app.trainer.data.rows import DELETED, Rows
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.training import Known, answer

DAYS = 60


def config_in(folder: Path, **trainer: Any) -> Config:
    return Config(
        stream="s",
        topics=TopicsConfig(events="e"),
        event=EventConfig(time_field="t", numeric=["x", "y"]),
        model=ModelConfig(max_steps=150, warm_steps=40),
        trainer=TrainerConfig(**trainer),
        root=str(folder),
    )


def rows(shift: float = 0.0, seed: int = 0, n_days: int = DAYS) -> Table:
    """Twenty-four rows a day, two correlated columns."""
    g, n = np.random.default_rng(seed), n_days * 24
    x = g.standard_normal(n) + shift
    numeric = np.column_stack([x, 0.7 * x + g.standard_normal(n)])
    times = np.arange(n, dtype=np.int64) * (DAY_MS // 24)
    return Table(numeric, np.zeros((n, 0), object), np.full(n, "all", object), times)


def request(model_id: str = "", topic: str = "e", number: int = 0) -> RetrainRequest:
    train = [OffsetRange(topic=topic, partition=0, start=0, end=DAYS * 24, start_ms=0, end_ms=DAYS * DAY_MS)]
    return RetrainRequest(
        id=f"request-{number}",
        stream="s",
        reason="drift",
        slices=["all"],
        alerts=[],
        model_id=model_id,
        requested_pane_ms=DAYS * DAY_MS,
        train=train,
        calibrate_from_ms=0,
    )


@pytest.fixture
def first(tmp_path: Path) -> Outcome:
    config = config_in(tmp_path)
    return answer(config, request(), Rows.of(rows()), None, signing_key(config))


def load(tmp_path: Path, outcome: Outcome) -> Any:
    assert outcome.model is not None
    public = signing_key(config_in(tmp_path)).public_key()
    return artifact.load(outcome.model, {artifact.key_id(public): public})


def test_the_same_request_gives_the_same_bytes(tmp_path: Path, first: Outcome) -> None:
    config = config_in(tmp_path)
    again = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert again == first
    renamed = answer(config, request(topic="another", number=0), Rows.of(rows()), None, signing_key(config))
    assert renamed.model is not None
    assert first.model is not None
    assert renamed.model.tensors == first.model.tensors, "names do not enter the weights"


def test_a_better_model_is_promoted_with_its_figures(tmp_path: Path, first: Outcome) -> None:
    old, config = load(tmp_path, first), config_in(tmp_path)
    outcome = answer(config, request(old.model_id), Rows.of(rows(shift=2.0, seed=5)), old, signing_key(config))
    assert (outcome.notice.status, outcome.verdict) == ("promoted", "pass")
    assert outcome.notice.parent_id == old.model_id
    likelihood, calibration = outcome.notice.gates["likelihood"], outcome.notice.gates["calibration_high"]
    low, high = likelihood["interval_95"]
    assert 0.3 < low < likelihood["gain_nats"] < high
    assert likelihood["gain_nats"] <= likelihood["candidate"] - likelihood["in_service"], (
        "what one event says is bounded"
    )
    assert calibration["interval_95"][0] <= calibration["candidate"] <= calibration["interval_95"][1]
    assert calibration["in_service"] > calibration["candidate"]


def test_a_model_that_is_not_better_is_refused_and_says_why(tmp_path: Path, first: Outcome) -> None:
    old, config = load(tmp_path, first), config_in(tmp_path, min_gain_nats=0.5)
    outcome = answer(config, request(old.model_id), Rows.of(rows(seed=6)), old, signing_key(config))
    assert (outcome.model, outcome.notice.status) == (None, "refused")
    assert "its lower end must reach +0.500" in outcome.notice.reason
    assert not outcome.notice.gates["likelihood"]["passed"]
    assert outcome.notice.gates["calibration_high"]["passed"]


def test_a_miscalibrated_model_is_refused(tmp_path: Path) -> None:
    config = config_in(tmp_path, max_alarm_ratio=0.01)
    outcome = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert outcome.notice.status == "refused"
    assert "of the held-out events are as strange as 1.00% should be" in outcome.notice.reason


def test_a_model_too_large_for_a_message_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_in(tmp_path)
    assert 4 * training.PUBLISHABLE_BYTES // 3 < MODEL_BYTES_MAX
    monkeypatch.setattr(training, "PUBLISHABLE_BYTES", 9_000)
    outcome = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert (outcome.model, outcome.notice.status) == (None, "refused")
    assert "bytes, and no more than 9,000 are accepted: leave out columns" in outcome.notice.reason
    assert outcome.notice.gates["calibration_high"]["passed"]
    assert not outcome.notice.gates["size"]["passed"]


def test_findings_tell_no_value_of_a_sensitive_column(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    table = rows()
    table = table.with_numeric(np.column_stack([table.numeric[:, 0], np.full(len(table), 98765.4321)]))
    told = answer(config, request(), Rows.of(table), None, signing_key(config))
    assert any("98765" in says for says in told.findings)
    config = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, sensitive=["y"]))
    hidden = answer(config, request(), Rows.of(table), None, signing_key(config))
    assert "y: constant" in hidden.findings
    assert not any("98765" in says for says in hidden.findings)
    assert hidden.model is not None
    assert b"98765.4" not in hidden.model.manifest
    assert load(tmp_path, hidden).references


def test_values_that_events_share_are_in_the_model_but_of_sensitive_columns(tmp_path: Path) -> None:
    config, table = config_in(tmp_path), rows()
    table = table.with_numeric(np.round(table.numeric * 4) / 4)
    told = load(tmp_path, answer(config, request(), Rows.of(table), None, signing_key(config)))
    assert np.unique(told.encoder.grids.seen.column).tolist() == [0, 1]
    config = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, sensitive=["y"]))
    hidden = load(tmp_path, answer(config, request(), Rows.of(table), None, signing_key(config)))
    assert np.unique(hidden.encoder.grids.seen.column).tolist() == [0]
    assert told.encoder.grids.seen.others[1] < 10 < 600 < hidden.encoder.grids.seen.others[1]


def test_columns_are_taken_on_the_scales_that_the_stream_allows(tmp_path: Path, first: Outcome) -> None:
    config = config_in(tmp_path)
    config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, maps=["standard"]))
    heavy = rows().with_numeric(np.exp(2.0 * rows().numeric))
    straight = load(tmp_path, answer(config, request(), Rows.of(heavy), None, signing_key(config)))
    bent = load(tmp_path, answer(config_in(tmp_path), request(), Rows.of(heavy), None, signing_key(config)))
    assert [column_map.kind for _, column_map in straight.encoder.maps] == ["standard"]
    assert {column_map.kind for _, column_map in bent.encoder.maps}.isdisjoint({"standard"})
    old = load(tmp_path, first)
    afresh = answer(config, request(old.model_id), Rows.of(rows(shift=2.0, seed=5)), old, signing_key(config))
    assert load(tmp_path, afresh).encoder.config.maps == ("standard",)


def test_too_few_rows_are_refused_with_the_counts(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    outcome = answer(config, request(), Rows.of(rows(n_days=6)), None, signing_key(config))
    assert outcome.model is None
    assert "too few rows (train " in outcome.notice.reason
    outcome = answer(config, request(), Rows.of(rows(n_days=1)), None, signing_key(config))
    assert "too few blocks" in outcome.notice.reason


def test_the_registry_keeps_verifies_and_remembers(tmp_path: Path, first: Outcome) -> None:
    config, made = config_in(tmp_path), first.model
    assert made is not None
    registry = Registry(config)
    assert registry.current() is None
    registry.save(made)
    registry.record(first.notice)
    registry.record(first.notice)
    registry.change(Entry(made.model_id, "request-0", 5))
    again = Registry(config)
    current = again.current()
    assert current is not None
    assert current.model_id == made.model_id
    assert [n.model_id for n in again.notices()] == [made.model_id], "a decision is noted once"
    assert again.notices()[0].tensors == b""
    path = tmp_path / "models" / f"{made.model_id}.model"
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(bytes(blob))
    with pytest.raises(ModelError, match=rf"{path} is not accepted: .* do not match their signature.*; copy the file"):
        again.current()
    with pytest.raises(ModelError, match="no model"):
        again.load("missing")


def test_a_line_cut_short_by_a_crash_is_no_promotion(tmp_path: Path, first: Outcome) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    registry = Registry(config)
    registry.change(Entry("one", "r", 1))
    with open(tmp_path / "models" / "s.jsonl", "ab") as log:
        log.write(msgspec.json.encode(Entry("two", "r2", 2))[:-5])
    assert [entry.model_id for entry in registry.history()] == ["one"]


def test_a_model_that_has_left_the_anchor_waits_for_a_person(tmp_path: Path, first: Outcome) -> None:
    """Better than the model in service it is, and far from the one that a person has last agreed to."""
    old, config = load(tmp_path, first), config_in(tmp_path, anchor_budget=0.001)
    moved, known = Rows.of(rows(shift=2.0, seed=5)), Known(anchor=old)
    outcome = answer(config, request(old.model_id), moved, old, signing_key(config), known=known)
    assert (outcome.notice.status, outcome.verdict) == ("waiting", "wait")
    assert outcome.model is not None, "its bytes are kept"
    assert outcome.notice.model_id == outcome.model.model_id
    assert outcome.notice.reason.startswith("anchor: ")
    assert "a person must say whether the world has changed so much" in outcome.notice.reason
    assert load(tmp_path, outcome).references, "complete, so that a person's word is enough"


def test_grave_findings_in_the_rows_train_nothing(tmp_path: Path) -> None:
    """Retention has deleted half of what was asked for."""
    config, table = config_in(tmp_path), rows()
    read = replace(Rows.of(table), asked=2 * len(table))
    read.rejected.add(DELETED, "", "e/0@0", len(table))
    outcome = answer(config, request(), read, None, signing_key(config))
    assert (outcome.notice.status, outcome.verdict, list(outcome.notice.gates)) == ("refused", "refuse", ["data"])
    assert outcome.sheet is not None
    assert [finding.severity for finding in outcome.sheet.severe] == ["severe"]
    assert outcome.notice.reason == f"data: {outcome.notice.gates['data']['says']}"
