"""The questions that the page asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream_app.console.answers import Store
from stream_app.console.queries import POINTS_MAX
from stream_app.console.server import start_in_thread
from tests.console.storing import DRIFTED, HOSTILE, PANE_MS, START_MS, write_long_store, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "store.sqlite"
    write_store(path)
    return path


@pytest.fixture
def client(store: Path) -> Iterator[httpx.Client]:
    yield from _serve(store)


def _serve(store: Path) -> Iterator[httpx.Client]:
    handle = start_in_thread(store, "beijing-air")
    with httpx.Client(base_url=handle.url, trust_env=False) as client:
        yield client
    handle.stop()


def test_overview_says_what_is_wrong_where(client: httpx.Client) -> None:
    overview = client.get("/api/overview").json()["overview"]
    slices = {s["slice"]: s for s in overview["slices"]}
    assert {name: s["rules"] for name, s in slices.items()} == {DRIFTED: ["drift"], "Tiantan": [], HOSTILE: []}
    assert [s["state"] for s in overview["slices"]] == ["drift", "ok", "ok"], "the worst comes first"
    assert slices[DRIFTED]["span"] == "28d"
    assert slices[DRIFTED]["share"] > 0.2 > 0.05 > slices["Tiantan"]["share"]
    assert overview["counters"] == {"received": 20, "windowed": 14, "late": 2, "rejected": 2, "duplicate": 2}
    assert overview["service"] == "model-two"
    assert [swap["model_id"] for swap in overview["swaps"]] == ["model-two"]
    assert (overview["opened"], overview["retrains"]) == (1, 0)
    assert [m["status"] for m in overview["models"]] == ["promoted", "promoted", "refused"]


def test_alerts_and_models_can_be_asked_for_alone(client: httpx.Client) -> None:
    (alert,) = client.get("/api/alerts").json()
    assert (alert["slice"], alert["kind"], alert["blame"][0]["feature"]) == (DRIFTED, "drift", "TEMP")
    models = client.get("/api/models").json()
    assert next(m["gates"] for m in models if m["status"] == "refused")["likelihood"]["passed"] is False


def test_detail_has_curves_incidents_calibration_and_features(client: httpx.Client) -> None:
    detail = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED}).json()
    assert len(detail["panes"]["t"]) == 160
    assert detail["spans"] == ["1d", "7d", "28d"]
    assert [i["end_ms"] for i in detail["incidents"]] == [None]
    assert [(s["model_id"], s["time_ms"]) for s in detail["swaps"]] == [("model-two", START_MS + 120 * PANE_MS)]
    assert detail["calibration"]["share"] == sorted(detail["calibration"]["share"])
    assert [f["feature"] for f in detail["features"]][:2] == ["PM2.5", "PM10"]
    assert client.get("/api/slice", params={"slicing": "station", "slice": "nowhere"}).status_code == 404


def test_a_share_is_of_the_events_that_the_model_has_scored(client: httpx.Client) -> None:
    """The windows of a model that took over ten days ago hold 28 days of ``seen`` but ten days of p-values."""
    detail = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED, "span": "28d"}).json()
    assert detail["calibration"]["scored"] == 40 * 6
    assert 0.2 < dict(zip(detail["calibration"]["alpha"], detail["calibration"]["share"], strict=True))[0.01] < 0.45
    assert 0.1 < detail["strange"]["share"][130] < 0.6
    week = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED, "span": "7d"}).json()
    assert week["calibration"]["scored"] == 168


def test_nothing_new_is_not_sent_again(client: httpx.Client) -> None:
    etag = client.get("/api/overview").headers["etag"]
    assert client.get("/api/overview", headers={"If-None-Match": etag}).status_code == 304


def test_a_store_that_does_not_exist_yet_is_no_error(tmp_path: Path) -> None:
    for client in _serve(tmp_path / "none.sqlite"):
        assert client.get("/api/overview").json() == {"overview": None, "stream": "beijing-air"}
        assert client.get("/").status_code == 200


def test_a_file_that_is_no_store_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "odd ?#% name.sqlite"
    path.write_bytes(b"not a database" * 100)
    for client in _serve(path):
        answer = client.get("/api/overview")
        assert answer.json()["overview"] is None
        assert "etag" not in answer.headers, "the page must ask again"


def test_long_series_are_thinned(tmp_path: Path) -> None:
    """A hundred thousand windows: what goes over the wire is bounded, and quick to make."""
    path = tmp_path / "long.sqlite"
    write_long_store(path, 50_000)
    store = Store(path, "beijing-air")
    began = time.perf_counter()
    overview, detail = store.overview(), store.detail("station", DRIFTED)
    assert time.perf_counter() - began < 3.0
    assert overview is not None
    assert detail is not None
    assert 500 < len(detail["panes"]["t"]) <= POINTS_MAX
    assert detail["panes"]["t"][-1] == overview["time_ms"] == START_MS + 50_000 * PANE_MS


def test_other_hosts_and_other_sources_are_refused(client: httpx.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in client.get("/").text, "nothing is loaded from elsewhere"
    assert client.get("/static/%2e%2e/server.py").status_code == 404
