"""The demo's terminal view says the same on a narrow terminal as on a wide one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from stream_app.demo.facts import Facts
from stream_app.demo.progress import Progress, Season
from stream_app.demo.view import render
from stream_app.stages.judge.policy import TOGETHER, slice_words
from tests.stages.streams import config

NOVEMBER_MS = 1_383_264_000_000


def facts_with(gates: dict[str, Any], status: str = "promoted") -> Facts:
    facts = Facts(config())
    facts.alerts = [
        {
            "time_ms": NOVEMBER_MS,
            "state": state,
            "slice": slice_,
            "rule": kind,
            "kind": kind,
            "summary": f"{slice_words(slice_)}, {says}.",
        }
        for state, kind, slice_, says in (
            ("open", "drift", "Wanshouxigong", "PM2.5: up by about 1.2 sd"),
            ("open", "fault", "Wanshouxigong", "RAIN: its value does not change any more"),
            ("update", "fault", "Wanshouxigong", "RAIN: still so"),
            ("learned", "drift", "Wanshouxigong", "TEMP: a newer model takes it for normal"),
            ("open", "drift", TOGETHER, "O3: down by about 0.3 sd"),
        )
    ]
    facts.models = [
        {
            "model_id": "0123456789abcdef",
            "status": status,
            "time_ms": NOVEMBER_MS,
            "train_rows": 61_001,
            "reason": "too strange",
            "gates": json.dumps(gates),
        }
    ]
    facts.slices = {"Wanshouxigong": {"p_le_01": 5, "scored": 100}}
    facts.event_time_ms = NOVEMBER_MS
    return facts


def shown(facts: Facts, width: int, waits_for: str = "") -> str:
    progress = Progress(Season(), 0.0, "live", waits_for, produced=9, console_url="http://127.0.0.1:8765")
    console = Console(width=width, height=60, record=True, file=io.StringIO(), legacy_windows=False)
    console.print(render(facts, progress))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_that_says_what_where_and_when(width: int) -> None:
    gates = {"calibration": {"candidate": 0.01295}, "likelihood": {"gain_nats": 2.96}}
    text = shown(facts_with(gates), width, "the trainer to answer 2 requests")
    lines = [line for line in text.splitlines() if "Wanshouxigong" in line and "Nov" in line]
    assert len(lines) == 3, "what goes on is not repeated"
    for words in (
        ("01 Nov", "open", "▲ drift", "PM2.5: up by about 1.2 sd"),
        ("01 Nov", "open", "◆ fault", "RAIN: its value"),
        ("01 Nov", "learned", "▲ drift", "TEMP: a newer"),
    ):
        assert any(all(word in line for word in words) for line in lines), (words, text)
    assert any("all slices together" in line and "O3: down by about 0.3 sd" in line for line in text.splitlines())
    (model,) = [line for line in text.splitlines() if "0123456789abcdef" in line]
    assert all(word in model for word in ("promoted", "61,001", "1.3% strange, +3.0 nats"))
    assert "the traffic waits for the trainer to answer 2 requests" in text
    assert "01 Nov 2013" in text
    assert "console http://127.0.0.1:8765" in text


def test_a_slice_shows_the_kinds_of_its_open_alerts() -> None:
    facts = facts_with({})
    assert "◆  Wanshouxigong" in shown(facts, 100), "its drift has been learned"
    facts.alerts = facts.alerts[:1]
    assert "▲  Wanshouxigong" in shown(facts, 100)
    facts.alerts = []
    assert "●  Wanshouxigong" in shown(facts, 100)


def test_a_refusal_says_why() -> None:
    assert "too strange" in shown(facts_with({}, "refused"), 100)


def test_the_view_keeps_its_height_when_the_traffic_goes_on() -> None:
    facts = facts_with({})
    moves, waits = shown(facts, 100), shown(facts, 100, "the first model")
    assert "waits for" not in moves
    assert len(moves.splitlines()) == len(waits.splitlines())


def test_there_is_something_to_see_before_anything_is_known() -> None:
    text = shown(Facts(config()), 80)
    assert "no slices yet" in text
    assert "no alerts yet" in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_slice_and_its_share_stay_on_one_line(width: int) -> None:
    facts = facts_with({})
    names = [f"Station{i:02d}" for i in range(12)]
    facts.slices = {name: {"p_le_01": 5, "scored": 100} for name in names}
    lines = [line for line in shown(facts, width).splitlines() if "Station" in line]
    assert sum(line.count("5.0%") for line in lines) == 12
    assert all(line.count("Station") == line.count("5.0%") for line in lines)
