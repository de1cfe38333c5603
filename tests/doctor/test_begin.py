"""``driftflow init``: what it writes loads, and the next commands that it prints are the right ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stream_app.cli import main
from stream_app.config import load
from stream_app.doctor.begin import Source, run_init
from stream_app.setup.proposal import Choice
from tests.setup.making import rows, table


def run(*words: str) -> Result:
    return CliRunner().invoke(main, [*words], catch_exceptions=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Power prices.csv").write_text(table(rows()))
    return tmp_path


def test_a_file_becomes_a_configuration_with_the_reason_of_each_line(here: Path) -> None:
    done = run("init", "--from-file", "Power prices.csv", "--yes")
    assert done.exit_code == 0, done.output
    assert done.output.endswith("Next:\n  driftflow score 'Power prices.csv'\n  driftflow explain-config\n")
    config, text = load(here / "driftflow.toml"), (here / "driftflow.toml").read_text()
    assert (config.stream, config.event.numeric, config.topics.events) == (
        "power-prices",
        ["price", "demand"],
        "power-prices.events",
    )
    settings = [i for i, line in enumerate(text.splitlines()) if " = " in line and not line.startswith("#")]
    assert len(settings) == 9
    assert all(text.splitlines()[i - 1].startswith("#") for i in settings)


def test_a_file_that_is_there_stays_as_it_is(here: Path) -> None:
    (here / "driftflow.toml").write_text("mine")
    done = run("init", "--from-file", "Power prices.csv", "--yes")
    assert done.exit_code == 1
    assert (here / "driftflow.toml").read_text() == "mine"


def test_without_a_source_it_is_a_template_that_loads(here: Path) -> None:
    assert run("init", "--out", "t.toml").exit_code == 0
    assert load(here / "t.toml").event.numeric == ["value"]


def test_only_what_is_open_is_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [{"created": r["when"], "occurred": r["when"][:-6], "x": r["price"], "host": r["weather"]} for r in rows()]
    (here / "two.csv").write_text(table(made))
    asked: list[str] = []

    def ask(choice: Choice) -> Any:
        asked.append(choice.key)
        return choice.others[0] if choice.key == "event.time_field" else choice.value

    from rich.console import Console

    run_init(Source(here / "two.csv"), here / "two.toml", "two", ask, Console())
    assert asked == ["event.time_field", "event.slicings"]
    assert load(here / "two.toml").event.time_field == "occurred"


def test_explain_config_is_short_and_names_the_nearest(here: Path) -> None:
    run("init", "--from-file", "Power prices.csv", "--yes")
    short = run("explain-config").output.splitlines()
    assert 10 < len(short) < 25
    assert (
        "windows.clock = 16  (default)  The clock of a source partition is the median"
        in run("explain-config", "windows.clock").output
    )
    assert run("explain-config", "windws.clock").exit_code == 1
    assert len(run("explain-config", "--all").output.splitlines()) > 100
