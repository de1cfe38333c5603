"""The page in a real browser, and the questions it asks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_app.console.server import start_in_thread
from tests.conftest import cannot_start
from tests.console.storing import DRIFTED, HOSTILE, write_store


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
    assert slices[DRIFTED]["span"] == "28d"
    assert slices[DRIFTED]["share"] > 0.2 > 0.05 > slices["Tiantan"]["share"]
    assert overview["counters"] == {"received": 20, "windowed": 14, "late": 2, "rejected": 2, "duplicate": 2}
    assert overview["service"] == "model-two"
    assert [swap["model_id"] for swap in overview["swaps"]] == ["model-two"]
    assert [m["status"] for m in overview["models"]] == ["promoted", "promoted", "refused"]


def test_detail_has_curves_incidents_calibration_and_features(client: httpx.Client) -> None:
    detail = client.get("/api/slice", params={"slicing": "station", "slice": DRIFTED}).json()
    assert len(detail["panes"]["t"]) == 160
    assert detail["spans"] == ["1d", "7d", "28d"]
    assert detail["incidents"][0]["end_ms"] is None
    assert detail["calibration"]["share"] == sorted(detail["calibration"]["share"])
    assert [f["feature"] for f in detail["features"]][:2] == ["PM2.5", "PM10"]
    assert client.get("/api/slice", params={"slicing": "station", "slice": "nowhere"}).status_code == 404


def test_nothing_new_is_not_sent_again(client: httpx.Client) -> None:
    etag = client.get("/api/overview").headers["etag"]
    assert client.get("/api/overview", headers={"If-None-Match": etag}).status_code == 304


def test_a_store_that_does_not_exist_yet_is_no_error(tmp_path: Path) -> None:
    for client in _serve(tmp_path / "none.sqlite"):
        assert client.get("/api/overview").json() == {"overview": None, "stream": "beijing-air"}
        assert client.get("/").status_code == 200


def test_other_hosts_and_other_sources_are_refused(client: httpx.Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    assert "http" not in client.get("/").text, "nothing is loaded from elsewhere"
    assert client.get("/static/%2e%2e/server.py").status_code == 404


Browser = Callable[[int, int, str], Any]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Debian's Chromium, headless."""
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        cannot_start("chromium or chromedriver is not installed (Debian packages chromium, chromium-driver)")
        return
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for word in ("--headless=new", "--no-sandbox", "--disable-background-networking", f"--user-data-dir={profile}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        window = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        cannot_start(f"Chromium does not start: {error}")
        return
    yield window
    window.quit()


@pytest.fixture
def page(browser: Any, store: Path) -> Iterator[Callable[[int, str], Any]]:
    handle = start_in_thread(store, "beijing-air")

    def open_page(width: int, scheme: str) -> Any:
        size = {"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(handle.url)
        until = time.monotonic() + 20
        while not browser.execute_script("return document.querySelectorAll('.feature .hist').length"):
            assert time.monotonic() < until, browser.get_log("browser")
            time.sleep(0.1)
        return browser

    yield open_page
    handle.stop()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(page: Callable[[int, str], Any], width: int, scheme: str) -> None:
    window = page(width, scheme)
    ask = window.execute_script
    assert ask("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"
    assert ask("return document.querySelectorAll('canvas').length") == 3
    assert ask(_INK, "likelihood") > 200, "the likelihood curve is drawn"
    assert ask(_INK, "calibration") > 100, "the calibration curve is drawn"
    dark = ask("return getComputedStyle(document.body).backgroundColor").startswith("rgb(16,")
    assert dark == (scheme == "dark")
    assert ask("return document.querySelectorAll('#alerts tbody tr').length") == 1
    assert "TEMP 60 %" in ask("return document.querySelector('#alerts').innerText")
    assert ask("return document.querySelectorAll('.model li.fail').length") == 1
    assert ask("return document.querySelectorAll('.feature').length") == 11
    assert ask("return document.title") == "driftflow – beijing-air", "a hostile slice name stays text"
    assert [entry for entry in window.get_log("browser") if entry["level"] == "SEVERE"] == []


_INK = """
const canvas = document.querySelector(`#${arguments[0]} canvas`);
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const probe = document.createElement('canvas').getContext('2d');
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
let n = 0;
for (let i = 0; i < pixels.length; i += 4)
  if (Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b) < 40 && pixels[i + 3] > 200) n++;
return n;
"""


def test_choosing_a_slice_shows_that_slice(page: Callable[[int, str], Any]) -> None:
    window = page(1280, "light")
    assert window.execute_script("return document.getElementById('slice-title').textContent") == DRIFTED
    window.execute_script("document.querySelector('[data-slice=Tiantan]').click()")
    until = time.monotonic() + 10
    while window.execute_script("return document.getElementById('slice-title').textContent") != "Tiantan":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert window.execute_script("return document.querySelector('[data-slice=Tiantan]').ariaPressed") == "true"
