"""The questions that the page asks."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from flowlib.table import DAY_MS
from stream_app.config import load
from stream_app.console import shapes
from stream_app.console.answers import NotReadableError, Store
from stream_app.console.listing import SLICES_A_PAGE
from stream_app.console.overview import FEATURE_DAYS
from stream_app.console.queries import POINTS_MAX, Points
from stream_app.console.server import start_in_thread
from stream_app.errors import DriftflowError
from stream_app.sinks import reading
from stream_app.sinks.reading import open_store
from tests.console.storing import EXAMPLE, write_long_store, write_store, write_wide_store
from tests.console.telling import DRIFTED, HOSTILE, PANE_MS, START_MS, made_incident, tell

LAST = "\U0010ffff"
"""The character that sorts after all others."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "store.sqlite"
    write_store(path)
    return path


@pytest.fixture
def client(path: Path) -> Iterator[httpx.Client]:
    yield from _serve(path)


def _store(path: Path) -> Store:
    return Store(path, "beijing-air")


def _serve(path: Path) -> Iterator[httpx.Client]:
    handle = start_in_thread(_store(path), names=["monitor.example"])
    with httpx.Client(base_url=handle.url, trust_env=False) as client:
        yield client
    handle.stop()


def test_overview_says_what_is_wrong_where(client: httpx.Client) -> None:
    overview = client.get("/api/overview").json()["overview"]
    slices = {s["slice"]: s for s in overview["slices"]}
    assert {name: [(i["kind"], i["says"]) for i in s["incidents"]] for name, s in slices.items()} == {
        DRIFTED: [("drift", "TEMP 4.1 σ higher: 12.3 against 3.5 °C usual for this hour")],
        HOSTILE: [("fault", f"{HOSTILE} sends fewer events than usual.")],
        "Tiantan": [("drift", "TEMP 4.1 σ higher: 12.3 against 3.5 °C usual for this hour")],
    }
    assert [s["state"] for s in overview["slices"]] == ["critical", "warning", "silenced"], "the worst comes first"
    assert overview["states"] == {"critical": 1, "warning": 1, "silenced": 1}
    assert slices[DRIFTED]["span"] == "28d"
    assert slices[DRIFTED]["interval"][0] < slices[DRIFTED]["share"] < slices[DRIFTED]["interval"][1]
    assert slices[DRIFTED]["share"] > 0.2 > 0.05 > slices["Tiantan"]["share"]
    assert overview["counters"] == {
        "received": 20,
        "windowed": 14,
        "late": 0,
        "rejected": 2,
        "duplicate": 2,
        "held": 2,
        "closed_early": 0,
    }
    assert (overview["service"], overview["swaps"]) == ("model-two", 1)
    assert overview["retrains"] == 0


def test_features_are_of_all_partitions_and_of_the_newest_week_of_the_newest_model(client: httpx.Client) -> None:
    """The second partition leans by 400 / j values a day to the last bin; ten days are the newest model's."""
    features = client.get("/api/overview").json()["overview"]["features"]
    first = next(entry for entry in features["entries"] if entry["feature"] == "PM2.5")
    assert [entry["feature"] for entry in features["entries"]][:2] == ["PM2.5", "PM10"]
    assert first["counts"] == [FEATURE_DAYS * 2 * 50] * 19 + [FEATURE_DAYS * (2 * 50 + 400)]
    assert first["moved"] == pytest.approx(500 / 2400 - 1 / 20, abs=0.02), "less what chance explains"
    assert features["from_ms"] == START_MS + (40 - FEATURE_DAYS) * DAY_MS


def test_histograms_of_two_models_are_never_summed(tmp_path: Path) -> None:
    write_store(tmp_path / "store.sqlite", panes=16)  # the newest model has scored one day
    _, overview = _store(tmp_path / "store.sqlite").overview()
    assert overview is not None
    assert overview["features"]["entries"][0]["counts"][0] == 2 * 50


def test_the_smallest_shifts_are_shown_where_there_are_any(path: Path, tmp_path: Path) -> None:
    _, overview = _store(path).overview()
    assert overview is not None
    shifts = {row["slice"]: row["shifts"] for row in overview["slices"]}
    assert shifts == {DRIFTED: [1.4, 0.55], HOSTILE: [None, 0.55], "Tiantan": [1.4, 0.55]}
    write_long_store(tmp_path / "store.sqlite", 3)
    _, overview = _store(tmp_path / "store.sqlite").overview()
    assert overview is not None
    assert [row["shifts"] for row in overview["slices"]] == [[None, None]]


def test_detail_has_curves_incidents_and_calibration(client: httpx.Client) -> None:
    detail = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED}).json()
    assert len(detail["panes"]["t"]) == 160
    assert detail["spans"] == ["1d", "7d", "28d"]
    spans = [(i["id"], i["severity"], i["since_ms"], i["opened_ms"], i["end_ms"]) for i in detail["incidents"]]
    middle = START_MS + 80 * PANE_MS
    assert spans == [
        ("drift-0", "warning", START_MS - PANE_MS, START_MS, START_MS + 3 * PANE_MS),
        ("drift-1", "critical", middle - PANE_MS, middle, None),
    ]
    assert detail["marks"] == [{"at_ms": middle - PANE_MS, "text": "release 4.2", "by": "ops"}]
    assert detail["swaps"] == [{"model_id": "model-two", "time_ms": START_MS + 120 * PANE_MS}]
    assert detail["calibration"]["share"] == sorted(detail["calibration"]["share"])
    assert client.get("/api/slice", params={"slicing": "station", "slice": "nowhere"}).status_code == 404


def test_a_share_is_of_the_events_that_the_model_has_scored(client: httpx.Client) -> None:
    """The windows of a model that took over ten days ago hold 28 days of ``seen`` but ten days of p-values."""
    detail = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED, "span": "28d"}).json()
    assert detail["calibration"]["scored"] == 40 * 6
    assert 0.2 < dict(zip(detail["calibration"]["alpha"], detail["calibration"]["share"], strict=True))[0.01] < 0.45
    assert 0.1 < detail["strange"]["share"][130] < 0.6
    week = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED, "span": "7d"}).json()
    assert week["calibration"]["scored"] == 168


def test_a_window_without_scored_events_has_no_share() -> None:
    assert shapes.share({"scored": 0, "p_le_01": 0}, "p_le_01") is None
    assert shapes.share({"scored": 50, "p_le_01": 1}, "p_le_01") == 0.02


def test_without_the_embedded_store_the_console_says_what_to_do() -> None:
    config = load(EXAMPLE)
    with pytest.raises(DriftflowError, match="Grafana"):
        Store.of(replace(config, sink=replace(config.sink, kind="influx")))


def test_going_back_to_an_old_model_is_a_swap_too() -> None:
    rows = [(0, "a"), (1, "a"), (0, "b"), (0, "a"), (1, "b"), (1, "a"), (0, "a")]
    assert shapes.swap_count({"partition": str(p), "model_id": model} for p, model in rows) == 2
    assert shapes.swap_count([]) == 0


def test_nothing_new_is_not_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write_store(path, panes=8)
    for client in _serve(path):
        tag = {"If-None-Match": client.get("/api/overview").headers["etag"]}
        assert client.get("/api/overview", headers=tag).status_code == 304


def test_no_store_yet_is_no_error(tmp_path: Path) -> None:
    for client in _serve(tmp_path / "none.sqlite"):
        answer = client.get("/api/overview")
        assert answer.json()["overview"] is None
        assert "does not exist yet" in answer.json()["why"]
        assert client.get("/api/slice").status_code == 503
        assert client.get("/").status_code == 200


def test_a_store_of_another_stream_is_an_empty_one(path: Path) -> None:
    assert Store(path, "other").overview()[1] is None


def test_a_file_that_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "odd ?#% name.sqlite"
    path.write_bytes(b"not a database" * 100)
    for client in _serve(path):
        answer = client.get("/api/overview")
        assert "not a database" in answer.json()["why"]
        assert "etag" not in answer.headers, "the page must ask again"


def test_a_locked_store_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write_store(path, panes=8)
    store = _store(path)
    owner = sqlite3.connect(path)
    owner.execute("PRAGMA locking_mode = EXCLUSIVE")
    owner.execute("BEGIN EXCLUSIVE")
    with pytest.raises(NotReadableError, match="locked"):
        store.overview()
    owner.close()
    assert store.overview()[1] is not None


def test_a_folder_that_may_not_be_written_is_read_all_the_same(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a WAL file makes two more beside it, which a read-only volume does not allow."""
    copy = tmp_path / "store.sqlite"
    shutil.copy(path, copy)
    monkeypatch.setattr(reading.os, "access", lambda *_: False)
    assert _store(copy).overview()[1] is not None
    assert [file.name for file in tmp_path.iterdir()] == ["store.sqlite"]


def test_long_series_are_thinned_without_being_read(tmp_path: Path) -> None:
    """The work is bounded, whatever the store holds: counted in hundreds of SQLite's steps."""
    steps = {}
    for panes in (POINTS_MAX, 10 * POINTS_MAX):
        path = tmp_path / f"{panes}.sqlite"
        write_long_store(path, panes)
        done = []
        with open_store(path) as link:
            link.set_progress_handler(lambda done=done: done.append(1), 100)
            curve = Points(link, "beijing-air").curve("station", DRIFTED, "pane")
        assert POINTS_MAX / 2 < len(curve) <= POINTS_MAX
        assert curve[-1]["time_ms"] == START_MS + panes * PANE_MS
        steps[panes] = len(done)
    assert steps[10 * POINTS_MAX] < 1.2 * steps[POINTS_MAX]


def test_the_work_for_incidents_grows_with_their_number_alone(tmp_path: Path) -> None:
    """Each thread is looked up by itself: going through all of them for each took minutes for two thousand."""
    steps = {}
    for n in (100, 800):
        records = [made_incident("beijing-air", "a", START_MS, START_MS + PANE_MS, id=f"i-{k}") for k in range(n)]
        tell(tmp_path / f"{n}.sqlite", *records)
        done = []
        with open_store(tmp_path / f"{n}.sqlite") as link:
            link.set_progress_handler(lambda done=done: done.append(1), 10)
            assert len(Points(link, "beijing-air").heads()) == n
        steps[n] = len(done)
    assert steps[800] < 12 * steps[100]


def test_of_ten_thousand_slices_the_worst_are_sent_and_the_others_found(tmp_path: Path) -> None:
    """A page at a time, from one look at the store: the lists are looked through in memory."""
    write_wide_store(tmp_path / "store.sqlite", [f"device-{k:05d}" for k in range(10_000)])
    store = _store(tmp_path / "store.sqlite")
    _, overview = store.overview()
    assert overview is not None
    assert (overview["found"], len(overview["slices"])) == (10_000, SLICES_A_PAGE)
    assert overview["slices"][0]["slice"] == "device-09999", "the one that has drifted"
    assert overview["states"] == {"ok": 9_999, "critical": 1}
    found = [s["slice"] for s in store.slices("Device-0077")["slices"]]
    assert found == [f"device-{k:05d}" for k in range(770, 780)]
    pages = [store.slices("", page)["slices"] for page in range(store.slices()["pages"])]
    assert sorted(s["slice"] for page in pages for s in page) == [f"device-{k:05d}" for k in range(10_000)]
    assert store.slices("", 9_999)["page"] == len(pages) - 1
    assert len(httpx.Response(200, json=overview).content) < 200_000


@pytest.mark.timeout(30)
def test_names_cannot_lead_a_question_astray(tmp_path: Path) -> None:
    """Series are names joined by commas: names with commas, and names that sort last, end every loop all the same."""
    names = ["", "a,slice=b,span=pane,x", "'; DROP TABLE points; --", f"{LAST},slicing=station", f"{LAST}x"]
    write_wide_store(tmp_path / "store.sqlite", names)
    store = _store(tmp_path / "store.sqlite")
    _, overview = store.overview()
    assert overview is not None
    assert {s["slice"] for s in overview["slices"]} == set(names)
    for name in names:
        detail = store.detail("station", name)
        assert detail is not None
        assert detail["slice"] == name
        assert len(detail["panes"]["t"]) == 1
        assert len(detail["incidents"]) == (name == names[-1])


def test_many_pages_ask_the_store_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = Store._ask

    def slow(self: Store, question: Any) -> Any:
        asked.append(question)
        time.sleep(0.2)
        return real(self, question)

    monkeypatch.setattr(Store, "_ask", slow)
    store = _store(path)
    threads = [threading.Thread(target=store.overview) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_strange_host_names_are_refused_addresses_are_not(client: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1"):
        answer = client.get("/api/overview", headers={"host": host})
        assert answer.status_code == 400, host
        assert "console.names" in answer.text
    for host in ("localhost:8765", "LOCALHOST", "192.168.0.7:8765", "[::1]:8765", "monitor.example"):
        assert client.get("/api/overview", headers={"host": host}).status_code == 200, host


def test_nothing_comes_from_elsewhere(client: httpx.Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in client.get("/").text
    assert client.get("/static/%2e%2e/server.py").status_code == 404
    assert client.post("/api/overview").status_code == 405


def test_an_error_that_nobody_foresaw_is_said_on_the_page(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    questions = {"slice": "detail", "incident": "incident", "slices": "slices", "incidents": "incidents"}
    questions |= {"watcher": "watched", "models": "models", "fairness": "fairness"}
    for method in ("overview", *questions.values()):
        monkeypatch.setattr(Store, method, broken)
    answer = client.get("/api/overview")
    assert (answer.status_code, answer.json()["overview"]) == (200, None)
    assert "an error that nobody foresaw: KeyError" in answer.json()["why"]
    for question in questions:
        answer = client.get(f"/api/{question}")
        assert answer.status_code == 503
        assert "KeyError" in answer.json()["error"]


def test_slices_with_any_characters_in_their_names_are_told_apart(tmp_path: Path) -> None:
    """Commas, equal signs and backslashes join and separate the tags of a stored series."""
    names = ["a", "a,slicing=station,span=1d", "a\\,slicing=station", "b|c", "%0A", "a&slice=b#?", "\U0001f600 é"]
    write_wide_store(tmp_path / "store.sqlite", names)
    odd = made_incident("beijing-air", "a", START_MS, START_MS + PANE_MS, id="in,cident")
    tell(tmp_path / "store.sqlite", odd, replace(odd, id="in\\,cident"), replace(odd, id="in,cident=x"))
    _, overview = _store(tmp_path / "store.sqlite").overview()
    assert overview is not None
    assert {row["slice"] for row in overview["slices"]} == set(names)
    found = _store(tmp_path / "store.sqlite").slices("E\u0301")
    assert [row["slice"] for row in found["slices"]] == [names[-1]], "looked for in another normal form"
    ids = {}
    for client in _serve(tmp_path / "store.sqlite"):
        for name in names:
            detail = client.get("/api/slice", params={"slicing": "station", "slice": name, "span": "28d"}).json()
            assert (detail["slice"], detail["spans"]) == (name, ["28d"])
            ids[name] = sorted(incident["id"] for incident in detail["incidents"])
        for incident_id in ("in,cident", "in\\,cident", "in,cident=x"):
            assert client.get("/api/incident", params={"id": incident_id}).json()["line"]["id"] == incident_id
    assert {name: found for name, found in ids.items() if found} == {
        "a": ["in,cident", "in,cident=x", "in\\,cident"],
        names[-1]: [f"{names[-1]}-{START_MS}"],
    }
