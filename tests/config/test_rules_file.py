"""A file of rules for a backtest: what it has takes the place of what the stream has."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.config import Config, parse, with_rules
from stream_app.errors import ConfigError

STREAM = {
    "stream": "s",
    "topics": {"events": "e"},
    "event": {"time_field": "t", "numeric": ["x"]},
    "alerts": {"false_incidents_per_month": 3.0, "console_url": "http://127.0.0.1:8765"},
}


def changed(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return with_rules(parse(STREAM), path)


def test_what_it_does_not_name_stays(tmp_path: Path) -> None:
    config = changed(tmp_path, "[alerts]\nfalse_incidents_per_month = 0.5\n")
    assert (config.alerts.false_incidents_per_month, config.alerts.console_url) == (0.5, "http://127.0.0.1:8765")
    assert config.rules == parse(STREAM).rules


def test_its_rules_take_the_place_of_all_others(tmp_path: Path) -> None:
    config = changed(tmp_path, '[rules.only]\ndetectors = ["location"]\n')
    assert list(config.rules) == ["only"]
    assert config.alerts == parse(STREAM).alerts


def test_other_sections_and_every_fault_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"event: a file of rules has \[alerts\] and \[rules.NAME\] and nothing else"):
        changed(tmp_path, "[event]\ntime_field = 't'\n")
    with pytest.raises(ConfigError) as raised:
        changed(tmp_path, '[rules.a]\ndetectors = ["location", "missing"]\n[rules.b]\ndetectors = ["nothing"]\n')
    assert "rules.a.detectors: drift and data faults in rules of their own" in str(raised.value)
    assert "rules.b.detectors: one of" in str(raised.value)
    with pytest.raises(ConfigError, match="not valid TOML"):
        changed(tmp_path, "[alerts")
