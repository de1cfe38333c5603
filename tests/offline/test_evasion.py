"""``driftflow evaluate --attack``: what it attacks, and how it says what slips through."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from flowlib import Density, FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from stream_app.cli import main
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.errors import DriftflowError
from stream_app.offline.evaluate.evasion import (
    DETECTED,
    ROWS_MAX,
    Plan,
    Share,
    Slip,
    attacked,
    evasion_part,
    kinds_of,
    words,
)
from stream_app.reporting.page import page
from stream_app.trainer.gates.faults import FAULTS
from tests.offline.test_evaluate import write


def rows(n: int, seed: int) -> Table:
    g = np.random.default_rng(seed)
    x = g.standard_normal(n)
    label = g.choice(["fine", "fraud", "rare"], n, p=[0.96, 0.03, 0.01])
    numeric = np.column_stack([x, x + 0.5 * g.standard_normal(n)])
    return Table.of(numeric + 2.0 * (label == "fraud")[:, None], categories=label[:, None].astype(object))


@pytest.fixture(scope="module")
def model() -> Density:
    config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=40)))
    return Density.fit(FeatureSpec(("x", "y"), ("said",)), rows(900, 1), rows(200, 2), rows(900, 3), 0, config)


@pytest.fixture
def config() -> Config:
    event = EventConfig(time_field="t", numeric=["x", "y"], categorical=["said"], label_field="said")
    config = Config(stream="s", topics=TopicsConfig(events="e"), event=event)
    return msgspec.structs.replace(config, event_rule=msgspec.structs.replace(config.event_rule, alpha=0.02))


def test_it_attacks_what_is_strange_what_is_labelled_and_what_is_broken(config: Config, model: Density) -> None:
    judged = rows(2_000, 4)
    found = {kind: table for kind, _, table in kinds_of(config, model, judged)}
    assert list(found)[:3] == [DETECTED, "label rare", "label fraud"], "the most frequent label is ordinary"
    assert set(list(found)[3:]) == set(FAULTS)
    assert all(len(table) <= ROWS_MAX for table in found.values())
    assert (model.score(found[DETECTED]).p_value <= 0.02).all()
    assert set(found["label fraud"].categories[:, 0]) == {"fraud"}
    discreet = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, sensitive=["said"]))
    said = [(kind, what) for kind, what, _ in kinds_of(discreet, model, judged)]
    assert not any("fraud" in text for pair in said for text in pair)


def test_what_slips_through_is_said_by_kind_and_budget(config: Config, model: Density) -> None:
    found = attacked(config, model, rows(600, 4), Plan((0.5, 0.1)), model)
    assert [slip.budget for slip in found] == sorted(slip.budget for slip in found)
    by = {(slip.kind, slip.budget): slip for slip in found}
    for (kind, budget), slip in by.items():
        assert slip.before.value <= slip.after.value
        assert slip.after.low <= slip.after.value <= slip.after.high
        assert slip.transferred is not None
        assert slip.after.value >= max(slip.at_random.value, slip.transferred.value), (kind, budget)
        assert by[kind, 0.1].before == slip.before
    assert by[DETECTED, 0.5].before.value == 0.0
    assert by[DETECTED, 0.5].after.value >= by[DETECTED, 0.1].after.value
    assert json.loads(json.dumps(found[0].to_json()))["kind"] == found[0].kind


def test_the_section_says_it_in_words() -> None:
    slip = Slip("spike", "a <spike>", 0.5, 100, Share(0.0, 0.0, 0.04), Share(0.1, 0.05, 0.15), Share(0.1, 0, 1), None)
    html = page("", [evasion_part([slip], Plan(columns=("x",)), "")])
    assert "a &lt;spike&gt;" in html
    assert "the values of x" in html
    assert "10% of 100 events past it" in html
    assert words([], Plan()) == ["There were too few events to attack."]


@pytest.mark.parametrize(
    ("plan", "why"),
    [(Plan(columns=("said",)), "--attack-features: 'said'"), (Plan((-1.0,)), "--attack-budget: a positive")],
    ids=["a text", "below nothing"],
)
def test_a_plan_that_cannot_be_is_refused(plan: Plan, why: str, config: Config, model: Density) -> None:
    with pytest.raises(DriftflowError, match=why):
        attacked(config, model, rows(100, 4), plan, None)


def test_a_column_that_is_none_is_said_before_the_work(tmp_path: Path) -> None:
    command = ["evaluate", str(write(tmp_path, 48)), "-c", str(tmp_path / "driftflow.toml"), "--attack"]
    run = CliRunner().invoke(main, [*command, "--attack-features", "paid", "--bootstrap-until", "2026-02-14"])
    assert run.exit_code == 1
    assert "'paid' is no numeric column of the model, these are: amount, items, weight" in " ".join(run.output.split())
    assert "training" not in run.output
