"""The demo's terminal view says the same on a narrow terminal as on a wide one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from stream_app.demo.facts import Facts
from stream_app.demo.story import Story
from stream_app.demo.view import render
from tests.stages.streams import config

NOVEMBER_MS = 1_383_264_000_000


def story(gates: dict[str, Any], status: str = "promoted") -> Story:
    facts = Facts(config())
    blame = [{"feature": "PM2.5", "weight": 0.31}, {"feature": "RAIN", "weight": 0.2}]
    facts.alerts = [
        {
            "time_ms": NOVEMBER_MS,
            "state": state,
            "slice": "Wanshouxigong",
            "rule": rule,
            "statistic": 1234.5,
            "blame": json.dumps(blame),
        }
        for state, rule in (("open", "drift"), ("open", "feature"), ("resolve", "drift"))
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
    told = {
        "facts": facts,
        "phase": "live",
        "waits": True,
        "console_url": "http://127.0.0.1:8765",
        "began": 0.0,
        "produced": 9,
    }
    return cast(Story, SimpleNamespace(**told))


def shown(of: Story, width: int) -> str:
    console = Console(width=width, height=60, record=True, file=open("/dev/null", "w"), legacy_windows=False)  # noqa: SIM115
    console.print(render(of))
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_that_says_what_where_and_when(width: int) -> None:
    gates = {"calibration": {"candidate": 0.01295}, "likelihood": {"gain_nats": 2.96}}
    text = shown(story(gates), width)
    lines = [line for line in text.splitlines() if "Wanshouxigong" in line and "Nov" in line]
    assert len(lines) == 3
    for words in (("01 Nov", "open", "drift", "1.23e+03", "PM2.5 31%"), ("01 Nov", "open", "feature"), ("resolve",)):
        assert any(all(word in line for word in words) for line in lines), (words, text)
    (model,) = [line for line in text.splitlines() if "0123456789abcdef" in line]
    assert all(word in model for word in ("promoted", "61,001", "1.3% strange, +3.0 nats"))
    assert "waiting for the trainer" in text


def test_a_refusal_says_why() -> None:
    assert "too strange" in shown(story({}, "refused"), 100)
