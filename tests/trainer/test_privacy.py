"""Private retraining end to end: charged first, stated in the model, attacked before it is promoted. No Kafka."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib.privacy import dp_sgd as privacy
from flowlib.table import Table
from stream_app.config import PrivacyConfig
from stream_app.errors import DriftflowError
from stream_app.models.keys import signing_key
from stream_app.trainer import privacy as private
from stream_app.trainer.data.admit import leave_out
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.gates.fitness import membership
from stream_app.trainer.ledger import Ledger
from stream_app.trainer.training import answer
from tests.trainer.test_answering import config_in, load, request, rows


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "STEPS", 120)
    monkeypatch.setattr(privacy, "ROWS_A_STEP", 128)


def private_in(folder: Path, trainer: dict[str, Any] | None = None, **settings: Any) -> Any:
    settings = {"enabled": True, "delta": 1e-4, "epsilon": 4.0} | settings
    config = config_in(folder, **({"min_gain_nats": -5.0} | (trainer or {})))
    return msgspec.structs.replace(config, privacy=PrivacyConfig(**settings))


def test_the_claim_is_charged_first_and_stands_in_the_model(tmp_path: Path) -> None:
    config = private_in(tmp_path)
    outcome = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert outcome.notice.status == "promoted", outcome.notice.reason
    about = json.loads(outcome.notice.manifest)["about"]["privacy"]
    (entry,) = Ledger(config).entries()
    assert entry.request_id == request().id
    assert (about["epsilon"], about["delta"], about["unit"]) == (4.0, 1e-4, "one event")
    assert 3.8 < about["epsilon_total"] == entry.epsilon_total <= 4.0
    assert any("encoder" in line for line in about["excludes"])
    assert any("calibration" in line for line in about["excludes"])
    assert not len(load(tmp_path, outcome).encoder.grids.seen.value), "values that events had are none of the promise"
    figures = outcome.notice.gates["membership"]
    assert figures["passed"]
    assert figures["interval_95"][0] <= figures["candidate"] <= figures["interval_95"][1]


def test_a_retrain_adds_up_and_the_one_too_many_is_refused(tmp_path: Path) -> None:
    config = private_in(tmp_path, epsilon_budget=6.5)
    key, first = signing_key(config), None
    first = answer(config, request(), Rows.of(rows()), None, key)
    parent = load(tmp_path, first)
    second = answer(config, request(parent.model_id, number=1), Rows.of(rows()), parent, key)
    total = json.loads(second.notice.manifest)["about"]["privacy"]["epsilon_total"]
    assert 4.0 < total < 6.5
    third = answer(config, request(parent.model_id, number=2), Rows.of(rows()), parent, key)
    assert (third.notice.status, third.model) == ("refused", None)
    assert "the privacy budget does not allow another training" in third.notice.reason
    assert len(Ledger(config).entries()) == 2


def test_a_crash_in_training_has_cost_what_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(private, "fit_private", crash)
    config = private_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert len(Ledger(config).entries()) == 1


def test_weights_without_a_claim_are_not_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm start from a model that was trained without privacy would carry its rows along."""
    open_config = config_in(tmp_path)
    parent = load(tmp_path, answer(open_config, request(), Rows.of(rows()), None, signing_key(open_config)))
    started: list[Any] = []
    plain = private.fit_private
    monkeypatch.setattr(
        private,
        "fit_private",
        lambda flow, *rest: (started.append({k: v.clone() for k, v in flow.state_dict().items()}), plain(flow, *rest)),
    )
    config = private_in(tmp_path)
    answer(config, request(parent.model_id), Rows.of(rows()), parent, signing_key(config))
    name = "blocks.0.net.0.weight"
    assert not np.array_equal(started[0][name].numpy(), parent.flow.state_dict()[name].numpy())


def test_a_ledger_that_lost_the_model_in_service_trains_nothing(tmp_path: Path) -> None:
    config = private_in(tmp_path)
    parent = load(tmp_path, answer(config, request(), Rows.of(rows()), None, signing_key(config)))
    Ledger(config).path.unlink()
    with pytest.raises(DriftflowError, match="does not hold the training of the model in service"):
        answer(config, request(parent.model_id), Rows.of(rows()), parent, signing_key(config))


def test_a_delta_that_promises_nothing_is_refused(tmp_path: Path) -> None:
    config = private_in(tmp_path, delta=1e-2)
    outcome = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert outcome.notice.status == "refused"
    assert "is no promise for" in outcome.notice.reason
    assert Ledger(config).entries() == []


def test_the_membership_gate_refuses_what_remembers_its_rows(tmp_path: Path) -> None:
    config = config_in(tmp_path, membership_gate=True, max_membership_advantage=0.1)
    honest = answer(config, request(), Rows.of(rows()), None, signing_key(config))
    assert honest.notice.gates["membership"]["passed"], honest.notice.reason

    class Remembers:
        def score(self, table: Table) -> Any:
            known = np.isin(table.time_ms, members.time_ms)
            g = np.random.default_rng(1)
            return type("S", (), {"log_prob": g.standard_normal(len(table)) + known, "scorable": known | True})()

    left, others = leave_out(rows(), 0)
    members = left.take(np.arange(len(others)))
    gate = membership(Remembers(), members, others, config.trainer)  # type: ignore[arg-type]
    assert not gate.passed
    assert "guessing which events trained the model gains 0." in gate.says


def test_rows_left_out_are_drawn_at_random_and_train_nothing() -> None:
    table = rows()
    left, out = leave_out(table, 3)
    assert len(out) == len(table) // 10
    assert sorted([*left.time_ms, *out.time_ms]) == table.time_ms.tolist()
    assert abs(out.time_ms.mean() / table.time_ms.mean() - 1) < 0.15, "of all times, not the last"
