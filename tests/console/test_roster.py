"""Models on the page: what was decided, what may be said, what follows from it; and the trainer's queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from schemas.records import ModelNotice, RetrainRequest, ServiceChange
from stream_app.cli import main
from stream_app.config import Config
from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from stream_app.models.registry import Registry
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point
from tests.console.telling import PANE_MS, START_MS, made

GATES = {
    "calibration_low": {
        "passed": False,
        "waits": True,
        "figure": 0.001,
        "interval_95": [0.0005, 0.002],
        "threshold": 0.002,
    }
    | {"says": "0.10 % of the held-out events"},
    "likelihood": {"passed": True, "waits": False, "figure": 0.4, "interval_95": [0.3, 0.5], "threshold": 0.01}
    | {"says": "0.4 nats more an event"},
}


def notice(model_id: str, status: str, at: int, request: str, **more: Any) -> ModelNotice:
    fields = {"parent_id": "", "train_rows": 1_000, "gates": GATES, "reason": f"{model_id} is {status}"} | more
    return ModelNotice(
        model_id=model_id, stream="air", status=status, request_id=request, created_ms=START_MS + at * PANE_MS, **fields
    )


def change(verb: str, model_id: str, returns_to: str, at: int) -> Point:
    end_ms = START_MS + at * PANE_MS
    return points.service_point(
        ServiceChange(f"{verb}-{at}", "air", verb, model_id, returns_to, "Li", end_ms, "it is noisy")
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return made(tmp_path, "air", "127.0.0.1:1", key=False)


def write(config: Config, *made_points: Point) -> Store:
    sink = SQLiteSink(config.path(config.sink.path))
    sink.write(list(made_points))
    sink.close()
    return Store.of(config)


def verbs(found: dict[str, Any]) -> dict[str, list[str]]:
    return {model["model_id"]: [way["verb"] for way in model["may"]] for model in found["models"]}


def test_each_model_has_what_was_decided_and_what_follows_from_what_may_be_said(config: Config) -> None:
    notices = [
        notice("m-1", "promoted", 1, "r-1"),
        notice("m-2", "candidate", 2, "r-2"),
        notice("m-2", "promoted", 3, "r-2"),
        notice("m-3", "refused", 4, "r-3"),
        notice("m-4", "waiting", 5, "r-4"),
    ]
    store = write(config, *map(points.model_point, notices))
    found = store.models()
    assert (found["service"], found["pinned"]) == ("m-2", False)
    assert [(model["model_id"], model["status"]) for model in found["models"]] == [
        ("m-2", "in service"),
        ("m-4", "waiting"),
        ("m-3", "refused"),
        ("m-1", "promoted"),
    ]
    assert verbs(found) == {"m-2": ["rollback", "pin"], "m-4": ["approve", "reject"], "m-3": [], "m-1": ["pin"]}
    says = {(m["model_id"], way["verb"]): way["says"] for m in found["models"] for way in m["may"]}
    assert "m-1 returns" in says["m-2", "rollback"]
    assert "m-2 stays in service" in says["m-4", "reject"]
    (failed, passed) = found["models"][1]["gates"]
    assert (failed["name"], failed["waits"], failed["figure"]) == ("calibration_low", True, 0.001)
    assert (passed["interval_95"], passed["threshold"]) == ([0.3, 0.5], 0.01)


def test_what_people_changed_is_followed(config: Config) -> None:
    promoted = [points.model_point(notice(f"m-{k}", "promoted", k, f"r-{k}")) for k in (1, 2, 3)]
    store = write(config, *promoted, change("rollback", "m-3", "m-2", 4))
    assert store.models()["service"] == "m-2"
    assert {m["model_id"]: m["status"] for m in store.models()["models"]}["m-3"] == "rolled back"
    found = write(config, change("pin", "m-1", "m-1", 5)).models()
    assert (found["service"], found["pinned"], verbs(found)["m-1"]) == ("m-1", True, ["rollback", "unpin"])
    assert "in service again: m-2" in found["models"][0]["may"][1]["says"]
    found = write(config, change("unpin", "", "m-2", 6)).models()
    assert (found["service"], found["pinned"]) == ("m-2", False)
    assert [row["verb"] for row in found["changes"]] == ["unpin", "pin", "rollback"]


def test_a_model_that_only_the_registry_knows_is_there(config: Config, tmp_path: Path) -> None:
    """`driftflow score` trains one and keeps it there; the page said that none was recorded."""
    assert CliRunner().invoke(main, ["keys", "new", "trainer", "-c", str(tmp_path / "driftflow.toml")]).exit_code == 0
    Registry(config).record(notice("m-9", "promoted", 1, "r-9"))
    found = Store.of(config).models()
    assert [(model["model_id"], model["status"]) for model in found["models"]] == [("m-9", "in service")]


def test_a_model_that_scores_and_of_which_nothing_is_known_is_there(config: Config) -> None:
    found = write(config, points.activation_point(config, 0, START_MS, "m-5")).models()
    (model,) = found["models"]
    assert (model["model_id"], model["status"]) == ("m-5", "in service")
    assert "not recorded" in model["reason"]


def test_the_queue_says_what_became_of_each_request(config: Config) -> None:
    def request(k: int) -> Point:
        end_ms = START_MS + k * PANE_MS
        made_request = RetrainRequest(
            id=f"r-{k}",
            stream="air",
            reason="drift",
            slices=["a"],
            requested_pane_ms=end_ms,
            alerts=[],
            train=[],
            calibrate_from_ms=0,
            model_id="m-1",
        )
        return points.retrain_point(made_request)

    notices = [notice("m-1", "promoted", 1, "r-1"), notice("m-2", "waiting", 3, "r-2")]
    store = write(config, *map(request, (1, 2, 3)), *map(points.model_point, notices))
    assert [(row["state"], row["model_id"]) for row in store.watched()["requests"]] == [
        ("waits", ""),
        ("waits for a person", "m-2"),
        ("promoted", "m-1"),
    ]


def test_lists_are_asked_within_bounds_and_what_is_not_is_a_sentence(config: Config) -> None:
    handle = start_in_thread(Store.of(config))
    wrong = {
        "incidents?state=closed": "state is one of all, open, past, not 'closed'",
        "incidents?severity=bad&kind=x": "severity is one of info, warning, critical, not 'bad'; kind is one of",
        "incidents?page=-1": "page is a number from 0 to 9,999, not '-1'",
        "incidents?page=99999999999999999999": "page is a number",
        "incidents?from=yesterday": "from is a date such as 2026-01-31",
        "incidents?from=0001-01-01": "from ",
        "incidents?from=2026-02-01&to=2026-01-01": "to=2026-01-01 is not later than from=2026-02-01",
        f"incidents?find={'a' * 301}": "find has 301 characters",
        f"slices?find={'a' * 301}": "find has 301 characters",
        "slices?page=x": "page is a number",
    }
    try:
        with httpx.Client(base_url=handle.url, trust_env=False) as client:
            for question, words in wrong.items():
                answer = client.get(f"/api/{question}")
                assert answer.status_code == 400, question
                assert answer.json()["error"].startswith("this cannot be asked: "), question
                assert words in answer.json()["error"], answer.text
            listed = client.get("/api/incidents?from=2013-03-01&to=2013-03-02T12:00&state=past&silenced=0").json()
            assert {row["id"] for row in listed["incidents"]} == {"drift-0", "fault-1"}
    finally:
        handle.stop()
