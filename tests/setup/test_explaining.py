"""Every setting is explained with what is said of it where it is declared, and where its value comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import stream_app
from stream_app.config import load
from stream_app.setup.explaining import consequences, settings_of

EXAMPLE = Path(stream_app.__file__).parent / "demo/example/driftflow.toml"


def test_each_setting_has_its_value_its_source_and_a_sentence() -> None:
    settings = {one.key: one for one in settings_of(load(EXAMPLE), tomllib.loads(EXAMPLE.read_text()))}
    assert all(one.says.endswith(".") for one in settings.values())
    assert (settings["windows.pane"].value, settings["windows.pane"].source) == ('"6h"', "file")
    assert (settings["windows.clock"].value, settings["windows.clock"].source) == ("16", "default")
    assert (settings["kafka.group"].value, settings["kafka.group"].source) == ('"driftflow-beijing-air"', "stream")
    assert settings["topics.signals"].source == "stream"
    assert settings["rules.drift.retrain"].value == "true"
    assert settings["event.units"].value.startswith('{"PM2.5" = "µg/m³", ')
    assert settings["event.time_field"].brief == "Field that says when the event happened."
    assert "``" not in "".join(one.says for one in settings.values())


def test_what_follows_is_said_in_figures() -> None:
    follows = dict(consequences(load(EXAMPLE)))
    assert follows["windows"] == "1d, 7d, 28d, in steps of 6h: each slice writes 12 rows a day to the store"
    assert follows["delay"].startswith("an event is scored at once; its pane is judged 6h after it began, once 8 later")
    assert "500 events over 6 days at least" in follows["warm-up"]
    assert "panes: on a stream of one slice an incident opens from odds of about 720 to 1 on" in follows["evidence"]
    assert follows["memory"].startswith("windows of a slice take ")
