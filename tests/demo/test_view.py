"""The demo's terminal view says the same on a narrow terminal as on a wide one."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from rich.console import Console

from stream_app.demo.facts import Facts
from stream_app.demo.progress import Progress, Season
from stream_app.demo.view import render
from tests.people import incident, member
from tests.stages.streams import config

NOVEMBER_MS = 1_383_264_000_000


def facts_with(gates: dict[str, Any], status: str = "promoted") -> Facts:
    facts = Facts(config())
    station = [member(slice_="Wanshouxigong")]
    learned = {"state": "handover", "summary": "Wanshouxigong: a newer model takes TEMP for normal."}
    messages = [
        incident("a", severity="warning", summary="Wanshouxigong: PM2.5 is 1.2 σ higher.", members=station),
        incident("b", severity="info", kind="fault", summary="RAIN does not change any more.", members=station),
        incident(
            "b", severity="info", kind="fault", summary="RAIN: still so.", members=station, number=2, state="update"
        ),
        incident("c", summary="TEMP was lower.", members=station),
        incident("c", members=station, number=2, **learned),
    ]
    facts.messages = [msgspec.structs.replace(message, since_ms=NOVEMBER_MS) for message in messages]
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
    gates = {"calibration_high": {"candidate": 0.01295}, "likelihood": {"gain_nats": 2.96}}
    text = shown(facts_with(gates), width, "the trainer to answer 2 requests")
    lines = [line for line in text.splitlines() if "01 Nov" in line and ("▲" in line or "◆" in line)]
    assert len(lines) == 3, "what goes on is not repeated"
    for line, words in zip(
        lines,
        (
            ("01 Nov", "open", "▲ drift", "warning", "Wanshouxigong: PM2.5 is 1.2 σ"),
            ("01 Nov", "open", "◆ fault", "info", "RAIN: still so."),
            ("01 Nov", "handover", "▲ drift", "critical", "Wanshouxigong: a newer model"),
        ),
        strict=True,
    ):
        assert all(word in line for word in words), (words, text)
    assert "3 incidents, 2 of them open; 5 messages" in text
    (model,) = [line for line in text.splitlines() if "0123456789abcdef" in line]
    assert all(word in model for word in ("promoted", "61,001", "1.3% strange, +3.0 nats"))
    assert "the traffic waits for the trainer to answer 2 requests" in text
    assert "01 Nov 2013" in text
    assert "console http://127.0.0.1:8765" in text


def test_a_slice_shows_the_kinds_of_its_open_incidents() -> None:
    facts = facts_with({})
    assert "▲◆ Wanshouxigong" in shown(facts, 100)
    facts.messages = facts.messages[1:]
    assert "◆  Wanshouxigong" in shown(facts, 100), "a newer model takes its drift for normal"
    facts.messages = [incident("a", members=[member(slice_="Wanshouxigong", over=True), member()])]
    assert "●  Wanshouxigong" in shown(facts, 100), "it is over there, and goes on elsewhere"
    facts.messages = []
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
    assert "no incidents yet" in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_slice_and_its_share_stay_on_one_line(width: int) -> None:
    facts = facts_with({})
    names = [f"Station{i:02d}" for i in range(12)]
    facts.slices = {name: {"p_le_01": 5, "scored": 100} for name in names}
    lines = [line for line in shown(facts, width).splitlines() if "Station" in line]
    assert sum(line.count("5.0%") for line in lines) == 12
    assert all(line.count("Station") == line.count("5.0%") for line in lines)
