"""What the processes of this machine say of themselves is on the page within seconds, whatever the store tells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from schemas.records import ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.console import live as module
from stream_app.console.acting import Desk
from stream_app.console.answers import Store
from stream_app.console.live import Live
from stream_app.console.server import start_in_thread
from stream_app.worker.status import Status, folder_of
from tests.console.browsing import open_page, wait
from tests.console.telling import made
from tests.console.test_access import violations


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return made(tmp_path, "air", "127.0.0.1:1", key=False)


def write(config: Config, at: float, received: int, rejected: int, **more: Any) -> None:
    """As a worker would."""
    counts = {"received": received, "windowed": received - rejected, "late": 0, "rejected": rejected}
    counts |= {"duplicate": 0, "held": 0}
    folder_of(config).mkdir(parents=True, exist_ok=True)
    status = Status(at=at, counters={0: counts}, **more)
    (folder_of(config) / "w-1.json").write_bytes(msgspec.json.encode(status))


def look(live: Live) -> dict[str, Any]:
    live._looked_s = -module._LOOK_S  # a second later
    found = live.look()
    assert found is not None
    return found


def test_where_no_worker_has_written_nothing_is_said(config: Config) -> None:
    assert Live(config).look() is None


def test_a_total_break_is_told_within_a_look(config: Config) -> None:
    """A million events went well; then none can be read, and the counters of the store do not move."""
    live, now = Live(config), time.time()
    write(config, now - 2, 1_000_000, 0)
    assert look(live)["recent"]["tone"] == "ok"
    write(config, now, 1_000_400, 400, dead_letters={"not_json": 400})
    found = look(live)
    assert (found["alive"], found["recent"]["tone"], found["recent"]["reasons"]) == (
        True,
        "critical",
        {"not_json": 400},
    )
    assert found["recent"]["per_second"]["rejected"] == pytest.approx(200)
    page = Store.of(config).overview(found)[1]
    assert page is not None
    verdict = page["verdict"]
    assert (page["counters"]["received"], page["counters"]["rejected"]) == (1_000_400, 400)
    assert verdict["tone"] == "critical"
    assert verdict["signs"][0]["says"] == (
        "Events are dropped now: 400 rejected of the last 400 events (not_json 400)."
    )


def test_rates_are_of_the_last_minute(config: Config) -> None:
    live, now = Live(config), time.time()
    for k in range(8):
        write(config, now - 140 + 20 * k, 1_000 * k, 0)
        found = look(live)
    assert found["recent"]["events"] == 3_000
    assert found["recent"]["per_second"]["received"] == pytest.approx(50)
    write(config, now + 1, 10, 0)  # the state was thrown away: nothing comes out of a count that fell
    assert look(live)["recent"]["events"] == 0


def test_a_worker_that_has_ended_is_told(config: Config) -> None:
    write(config, time.time() - 3_600, 10, 0, waits_for=["model-x"])
    verdict = Store.of(config).overview(look(Live(config)))[1]["verdict"]  # type: ignore[index]
    says = " ".join(sign["says"] for sign in verdict["signs"])
    assert "No worker is alive: the last one wrote at" in says
    assert "Events wait for a model that is not here: model-x." in says


def test_the_watchers_view_has_both_sides_and_the_page_changes_with_either(config: Config) -> None:
    write(config, time.time(), 100, 0, lag=7, spooled=3, failing={"drainer": "disk full"})
    handle = start_in_thread(Store.of(config), desk=Desk(config))
    try:
        with httpx.Client(base_url=handle.url, trust_env=False) as client:
            found = client.get("/api/watcher").json()
            assert (found["live"]["lag"], found["live"]["spooled"]) == (7, 3)
            assert found["counters"] == max(found["counters"], found["live"]["totals"], key=lambda of: of["received"])
            assert found["bytes"] > 1_000
            first = client.get("/api/overview")
            assert "drainer" in first.text
            tag = {"If-None-Match": first.headers["etag"]}
            assert client.get("/api/overview", headers=tag).status_code == 304
            write(config, time.time(), 100, 0)
            until = time.monotonic() + 20
            while (again := client.get("/api/overview", headers=tag)).status_code == 304:
                assert time.monotonic() < until
            assert "One part of the processes fails" not in again.text
            models = client.get("/api/models").json()
            assert models["candidate"] is None
    finally:
        handle.stop()


def test_a_break_is_red_in_the_browser_and_can_be_read_by_everybody(browser: Any, config: Config) -> None:
    write(config, time.time() - 30, 1_000_000, 0)
    handle = start_in_thread(Store.of(config), desk=Desk(config))
    try:
        open_page(browser, handle, 390, "dark", "/#view=watcher")
        wait(browser, "document.querySelector('#watcher .tiles')?.innerText.includes('alive')", True)
        write(config, time.time(), 1_000_400, 400, dead_letters={"not_json": 400}, waits_for=["model-x"], set_aside=2)
        wait(browser, "document.getElementById('verdict').className", "critical")
        wait(browser, "document.querySelector('.alarm')?.className", "alarm critical")
        text = browser.execute_script("return document.getElementById('watcher').innerText")
        assert "100 % of the last 400 events are dropped" in text
        assert "not_json 400 since the workers started, 400 in the last minute" in text
        shade = "getComputedStyle(document.querySelector('.alarm')).color"
        assert browser.execute_script(f"return {shade}") == "rgb(255, 122, 98)"
        assert violations(browser) == []
    finally:
        handle.stop()


def test_a_candidate_is_told_with_how_far_it_has_come(config: Config) -> None:
    """From the trainer's own file; one that is damaged says nothing here, whoever needs it says what is wrong."""
    from stream_app.trainer.shadow.deciding import PaneSums, ShadowTest
    from stream_app.trainer.shadow.panes import OpenPanes
    from stream_app.trainer.shadow.state import Candidate, CandidateFile

    shadow = ShadowTest.of("model", 0.01, 3.0)
    shadow.take(PaneSums(events=200, scored=200, compared=200, gain=20.0, alarms=2, old_alarms=3))
    request = RetrainRequest("r-1", "air", "drift", [], [], "m-1", 0, [], 0)
    waits = ModelNotice("m-2", "air", "candidate", "m-1", "r-1", 0, 1_000, {}, "all gates passed")
    file = CandidateFile(config)
    assert Live(config).candidate() is None
    file.keep(Candidate(request, "w", waits, "m-1", "shadow", {}, OpenPanes(1_000), shadow, 5.0))
    found = Live(config).candidate()
    assert found is not None
    assert (found["model_id"], found["champion"], found["phase"]) == ("m-2", "m-1", "shadow")
    assert (found["figures"]["events"], found["events_max"]) == (200, config.trainer.shadow_events)
    file.path.write_bytes(b"damaged")
    assert Live(config).candidate() is None
