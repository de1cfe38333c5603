"""A model's columns are matched by name, and a field that no event has is an error: on files, command by command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.damages import invoke, model_file


def edit(folder: Path, old: str, new: str) -> None:
    """Change the configuration, once."""
    toml = (folder / "driftflow.toml").read_text()
    assert toml.count(old) == 1
    (folder / "driftflow.toml").write_text(toml.replace(old, new))


def score(folder: Path, *words: str) -> Result:
    return invoke(folder, "score", str(folder / "events.csv"), "--signals", str(folder / "signals.jsonl"), *words)


def timeless(run: Result) -> str:
    """What it printed, without how fast it was."""
    return re.sub(r", [\d,]+ a second", "", run.stdout)


def evaluate(folder: Path, *words: str) -> Result:
    return invoke(folder, "evaluate", str(folder / "events.csv"), "--out", str(folder / "report.html"), *words)


def ends_in_one_sentence(run: Result) -> str:
    assert isinstance(run.exception, SystemExit), repr(run.exception)
    assert run.exit_code == 1
    assert "Traceback" not in run.output
    lines = [line for line in run.output.splitlines() if line.strip()]
    assert len(lines) == 1, run.output
    return lines[0]


def test_features_in_another_order_in_the_config_than_in_the_model_give_the_same_to_the_byte(folder: Path) -> None:
    """Columns taken by position: 3,421 anomalies instead of 42, and status 0."""
    first = score(folder)
    signals, report = (folder / "signals.jsonl").read_bytes(), evaluate(folder)
    assert signals
    edit(folder, 'numeric = ["x", "y"]', 'numeric = ["y", "x"]')
    again = score(folder)
    assert (again.exit_code, timeless(again)) == (first.exit_code, timeless(first))
    assert (folder / "signals.jsonl").read_bytes() == signals
    assert evaluate(folder).output == report.output
    assert score(folder, "--model", model_file(folder).stem).exit_code == first.exit_code
    assert (folder / "signals.jsonl").read_bytes() == signals
    repeated = invoke(folder, "replay", str(folder / "events.csv"), "--decisions", str(folder / "decisions.jsonl"))
    assert repeated.exit_code == first.exit_code
    assert "in service" in invoke(folder, "models", "list").output


@pytest.mark.parametrize("command", [score, evaluate])
@pytest.mark.parametrize(
    ("columns", "difference"),
    [
        ('numeric = ["x"]', "it has 'y' (numeric) besides"),
        ('numeric = ["x", "y", "at2"]\nfirst_events = 0', "it lacks 'at2' (numeric)"),
        ('numeric = ["x"]\ncategorical = ["y"]', "'y' is numeric in it and categorical here"),
    ],
)
def test_one_feature_fewer_than_the_model_has_is_told_in_one_sentence(
    folder: Path, command: Callable[[Path], Result], columns: str, difference: str
) -> None:
    """It was a traceback."""
    edit(folder, 'numeric = ["x", "y"]', columns)
    said = ends_in_one_sentence(command(folder))
    assert f"its columns are not those of event.numeric and event.categorical: {difference};" in said
    assert str(model_file(folder)) in said


@pytest.mark.parametrize("command", [score, evaluate])
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('numeric = ["x", "y"]', 'numeric = ["x", "y", "Z"]', "'Z' (event.numeric)"),
        ("[event]", '[event]\ncategorical = ["shop"]', "'shop' (event.categorical)"),
        ("[event]", '[event]\nslicings = [["station"]]', "'station' (event.slicings)"),
        ("[event]", '[event]\nid_field = "uuid"', "'uuid' (event.id_field)"),
    ],
)
def test_a_field_that_no_event_has_trains_nothing(
    folder: Path, command: Callable[..., Result], old: str, new: str, named: str
) -> None:
    """A typo was trained and scored with status 0, and its name occurred nowhere in the output."""
    models = list((folder / "models").iterdir())
    edit(folder, old, new)
    said = ends_in_one_sentence(command(folder, "--bootstrap-until", "2026-02-20"))
    assert f"none of the first 1,000 events has a field {named}; they have 'at', 'x', 'y': write" in said
    assert list((folder / "models").iterdir()) == models


@pytest.mark.parametrize("command", [score, evaluate])
def test_a_field_that_no_event_has_scores_nothing(folder: Path, command: Callable[..., Result]) -> None:
    edit(folder, "[event]", '[event]\nid_field = "uuid"')
    assert "a field 'uuid' (event.id_field); they have 'at', 'x', 'y':" in ends_in_one_sentence(command(folder))
    edit(folder, "[event]", "[event]\nfirst_events = 0")
    assert command(folder).exit_code in (0, 3)
