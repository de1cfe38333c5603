"""The figures of a run, worked out by hand on a few panes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flowlib.table import DAY_MS
from stream_app.config import parse
from stream_app.demo.facts import Facts
from stream_app.demo.progress import Progress, Season
from stream_app.demo.report import alarm_rates, make_report
from stream_app.stages.points import incident_point, strange_point
from tests.demo import storing
from tests.people import incident, silenced, strange

CONFIG = parse({"stream": "s", "topics": {"events": "e"}, "event": {"time_field": "t", "numeric": ["x"]}})
HISTORY_END = 100 * DAY_MS
GATE_FROM = 86 * DAY_MS
"""Of a hundred days the last 28 calibrate and judge, and the later half of them judges."""


def pane(time_ms: int, model_id: str, scored: int, alarms: int) -> dict[str, Any]:
    return {"time_ms": time_ms, "model_id": model_id, "scored": scored, "p_le_01": alarms}


PANES = [
    *(pane(day * DAY_MS, "m0", 1_000, 500) for day in range(1, 87)),  # the last one ends as the gate begins
    pane(GATE_FROM + 1, "m0", 100, 1),
    *(pane(day * DAY_MS, "m0", 0, 0) for day in range(87, 100)),
    pane(HISTORY_END, "m0", 300, 3),
    pane(HISTORY_END + 1, "m0", 50, 10),
    pane(HISTORY_END + 2, "m0", 50, 20),
    pane(HISTORY_END + 3, "m1", 200, 4),
    pane(HISTORY_END + 4, "m2", 400, 4),
    pane(HISTORY_END + 5, "m2", 400, 4),
]
DRIFT_MS = HISTORY_END + 1


def test_each_period_counts_its_own_panes() -> None:
    messages = [incident(opened_pane_ms=DRIFT_MS + more) for more in (1, 0)]
    rates = alarm_rates(PANES, [incident(kind="fault", opened_pane_ms=0), *messages], CONFIG, HISTORY_END)
    assert rates["events"] == {"reference": 400, "drift": 50, "after_swap": 800}
    assert (rates["reference"], rates["drift"], rates["after_swap"]) == (0.01, 0.4, 0.01)
    for name, (low, high) in rates["interval_95"].items():
        assert low < rates[name] < high


def test_periods_that_did_not_come_have_no_rate() -> None:
    rates = alarm_rates(PANES[:101], [], CONFIG, HISTORY_END)
    assert rates["reference"] == 0.01
    assert rates["drift"] is rates["after_swap"] is rates["interval_95"]["drift"] is None
    assert rates["events"] == {"reference": 400, "drift": 0, "after_swap": 0}


@pytest.fixture
def run(tmp_path: Path) -> tuple[Facts, Progress]:
    """A run of nine events, two models and one that was refused."""
    config = storing.config_in(tmp_path)
    storing.write_status(config, received=9, refused={"models": 1}, at=94.0)
    drift, fault = incident("d", detector="scale"), incident("f", kind="fault", detector="stuck")
    over = [incident("d", number=2, detector="scale", state="handover"), silenced(incident("x", severity="info"))]
    over += [incident("f", number=2, kind="fault", detector="stuck", state="resolve")]
    gates = json.dumps({"calibration": {"passed": True}})
    about = {"parent_id": "", "train_rows": 5, "reason": "good", "gates": gates}
    points = [
        storing.window(1_000, "north", "m0", 5, 1),
        storing.window(1_000, "north", "m0", 5, 1, "8s"),
        storing.window(2_000, "south", "m1", 5, 0),
        *(incident_point(message, time_ms) for time_ms, message in ((2_000, drift), (2_000, fault))),
        *(incident_point(message, 3_000) for message in over),
        strange_point(strange()),
        storing.point("retrains", 2_000, {"stream": "s"}, id="r0", model_id="m0"),
        *(
            storing.point("models", time_ms, {"model_id": name, "stream": "s"}, status=status, **about)
            for time_ms, name, status in ((0, "m0", "promoted"), (2_000, "m1", "promoted"), (2_001, "m2", "refused"))
        ),
        *(
            storing.point("activations", start_ms, {"partition": "0", "stream": "s"}, model_id=name)
            for start_ms, name in ((0, "m0"), (2_000, "m1"))
        ),
    ]
    storing.write_points(config, points)
    facts = Facts(config)
    facts.refresh()
    return facts, Progress(Season(start_ms=2_000 - 7 * DAY_MS, live_ms=HISTORY_END), began=88.0, produced=9, restarts=2)


def test_the_report_counts_what_the_store_holds(run: tuple[Facts, Progress]) -> None:
    report = make_report(*run)
    assert {name: report[name] for name in report if name in EXPECTED} == EXPECTED
    assert report["activations"][1] == {"partition": "0", "time_ms": 2_000, "model_id": "m1"}
    assert [model["status"] for model in report["models"]] == ["promoted", "promoted", "refused"]
    assert report["models"][0]["gates"] == {"calibration": {"passed": True}}
    assert report["alarm_rate"]["events"]["after_swap"] == 5
    assert [(one["id"], one["state"], one["number"]) for one in report["incidents"]] == [
        ("x", "open", 1),
        ("d", "handover", 2),
        ("f", "resolve", 2),
    ]
    json.dumps(report)


EXPECTED = {
    "events_produced": 9,
    "events_received": 9,
    "windowed": 0,
    "conserved": False,
    "slices": 2,
    "windows_written": 3,
    "incidents_opened": 3,
    "drift_incidents_opened": 2,
    "fault_incidents_opened": 1,
    "incidents_by_detector": {"location": 1, "scale": 1, "stuck": 1},
    "incidents_open": 1,
    "incidents_resolved": 1,
    "incidents_handed_over": 1,
    "incidents_accepted": 0,
    "strange_events": 3,
    "messages": 5,
    "messages_per_week": 5.0,
    "retrain_requests": 1,
    "models_promoted": 2,
    "models_refused": 2,
    "swaps": 1,
    "worker_restarts": 2,
    "events_per_s": 2.2,  # 9 events between seconds 90 and 94
    "seconds_to_first_score": 2.0,
}


def test_the_store_is_only_read(run: tuple[Facts, Progress]) -> None:
    store = run[0].config.path(run[0].config.sink.path)
    before = storing.rows(store, "points")
    make_report(*run)
    assert storing.rows(store, "points") == before
    assert sqlite3.connect(store).execute("PRAGMA journal_mode").fetchone() == ("wal",)
