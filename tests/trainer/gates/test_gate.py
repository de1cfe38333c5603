"""What a gate says, and what all of them together decide."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from flowlib import Density, Table
from stream_app.config import TrainerConfig
from stream_app.trainer.gates.faults import FAULTS, faulty
from stream_app.trainer.gates.gate import Gate, figures, summary, verdict
from stream_app.trainer.gates.running import run_gates
from stream_app.trainer.gates.slices import slices
from tests.trainer.gates.worlds import failed, fit, rows, trial

PASSED, FAILED, WAITS = Gate("a", True, "fine"), Gate("b", False, "bad"), Gate("c", False, "strange", waits=True)
NAMES = [
    "data",
    "rows",
    "unscorable",
    "likelihood",
    "calibration_high",
    "calibration_low",
    "slices",
    "recall",
    "bursts",
    "canaries",
    "anchor",
]
JARGON = ("p <=", "p-value", "alpha", "bootstrap", "Wilson", "champion", "quantile", "None", "nan")


@pytest.fixture(scope="module")
def model() -> Density:
    return fit(rows(1_500, 1), rows(2_000, 2), steps=40)


@pytest.mark.parametrize(
    ("gates", "said"),
    [([PASSED], "pass"), ([PASSED, WAITS], "wait"), ([PASSED, WAITS, FAILED], "refuse"), ([], "pass")],
    ids=["passed", "waits", "failed", "none"],
)
def test_a_person_may_open_some_gates_and_none_that_another_has_shut(gates: list[Gate], said: str) -> None:
    assert verdict(gates) == said


def test_the_summary_names_the_gates_that_failed() -> None:
    assert summary([PASSED, FAILED, WAITS]) == "b: bad; c: strange"
    assert summary([PASSED, Gate("likelihood", True, "better")]) == "all 2 gates passed; likelihood: better"


def test_every_gate_says_its_figure_for_people(model: Density) -> None:
    burst = rows(50, 3).with_numeric(np.full((50, 3), 30.0))
    found = run_gates(
        trial(model, model, rows(2_000, 4, day=40), anchor=model, bursts={"i": burst}, canaries={"c": burst})
    )
    assert [gate.name for gate in found] == NAMES
    for gate in found:
        assert not any(word in gate.says for word in JARGON), gate.says
        assert gate.says[0].islower() or gate.says[0].isdigit()
        if gate.interval is not None:
            low, high = gate.interval
            assert low - 1e-12 <= (gate.figure or 0.0) <= high
            assert "interval" in gate.says, gate.says
    assert failed(found) == {"likelihood"}, "it gains nothing over itself"


def test_the_figures_can_be_written_down_and_keep_the_names_that_readers_know(model: Density) -> None:
    found = figures(run_gates(trial(model, None, rows(300, 4, days=6))))
    notice = json.loads(json.dumps(found, allow_nan=False))
    assert set(notice) == set(NAMES)
    assert {"passed", "says", "candidate", "in_service", "interval_95", "rows"} <= notice["calibration_high"].keys()
    assert {"gain_nats", "required_nats"} <= figures(run_gates(trial(model, model, rows(300, 4))))["likelihood"].keys()
    assert Gate("x", True, "", math.nan, (0.0, math.inf)).to_json()["interval_95"] == [0.0, None]


def test_no_rows_are_a_refusal_and_no_error(model: Density) -> None:
    none = rows(300, 4).take(np.zeros(300, dtype=bool))
    found = run_gates(trial(model, model, none))
    assert verdict(found) == "refuse"
    assert {"rows", "unscorable", "likelihood"} <= failed(found)
    json.dumps(figures(found), allow_nan=False)


def test_slices_of_every_slicing_are_looked_at(model: Density) -> None:
    """By the second slicing, one row in ten is from a place where everything is far off."""
    gate = rows(3_000, 5, day=40)
    far = np.arange(3_000) % 10 == 0
    place = np.where(far, "far", "near").astype(object)[:, None]
    gate = replace(gate.with_numeric(gate.numeric + 30.0 * far[:, None]), others=place)
    found = slices(trial(model, None, gate, settings=TrainerConfig(max_alarm_ratio=3.0)))
    assert (found.passed, found.detail["failed"]) == (False, ["far"])


def test_each_fault_changes_what_it_says(model: Density) -> None:
    table = rows(400, 6)
    made = {name: (changed, where) for name, changed, where in faulty(table, 0)}
    assert set(made) == set(FAULTS)
    again = {name: changed for name, changed, _ in faulty(table, 0)}
    for name, (changed, where) in made.items():
        assert np.array_equal(changed.numeric, again[name].numeric, equal_nan=True), "the same each time"
        assert where.mean() > 0.9, name
    differs = {name: (changed.numeric != table.numeric).sum(axis=1).max() for name, (changed, _) in made.items()}
    assert {name for name, columns in differs.items() if columns == 1} >= {"unit", "offset", "spike", "stuck"}
    assert differs["swapped"] == 2
    single = Table.of(table.numeric[:, :1])
    assert "swapped" not in {name for name, _, _ in faulty(single, 0)}
