"""The page in a real browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.console.server import start_in_thread
from tests.conftest import cannot_start
from tests.console.storing import DRIFTED, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "store.sqlite"
    write_store(path)
    return path


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
    for chart, name, least in (
        ("likelihood", "--accent", 200), ("likelihood", "--bad-band", 2000), ("likelihood", "--swap", 40),
        ("strange", "--strange", 100), ("calibration", "--accent", 100),
    ):  # fmt: skip
        assert ask(_INK, chart, name) > least, f"{name} is drawn on {chart}"
    dark = ask("return getComputedStyle(document.body).backgroundColor").startswith("rgb(16,")
    assert dark == (scheme == "dark")
    assert ask("return document.querySelectorAll('#alerts tbody tr').length") == 1
    assert ask("return document.getElementById('verdict').textContent").startswith("1 of 3 slices has drifted")
    assert ask("return document.querySelectorAll('.slice.drift').length") == 1
    assert "TEMP 60 %" in ask("return document.querySelector('#alerts').innerText")
    assert ask("return document.querySelectorAll('.model li.fail').length") == 1
    assert ask("return document.querySelectorAll('.feature').length") == 11
    assert ask("return document.title") == "driftflow – beijing-air", "a hostile slice name stays text"
    assert [entry for entry in window.get_log("browser") if entry["level"] == "SEVERE"] == []


_INK = """
const canvas = document.querySelector(`#${arguments[0]} canvas`);
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const probe = document.createElement('canvas').getContext('2d');
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(arguments[1]).trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
let n = 0;
for (let i = 0; i < pixels.length; i += 4)
  if (Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b) < 12 && pixels[i + 3] > 200) n++;
return n;
"""


_PICTURE = "return document.querySelector('#likelihood canvas').toDataURL()"


def test_choosing_a_slice_shows_that_slice(page: Callable[[int, str], Any]) -> None:
    window = page(1280, "light")
    assert window.execute_script("return document.getElementById('slice-title').textContent") == DRIFTED
    before = window.execute_script(_PICTURE)
    window.execute_script("document.querySelector('[data-slice=Tiantan]').click()")
    until = time.monotonic() + 10
    while window.execute_script("return document.getElementById('slice-title').textContent") != "Tiantan":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert window.execute_script("return document.querySelector('[data-slice=Tiantan]').ariaPressed") == "true"
    until = time.monotonic() + 5
    while window.execute_script(_PICTURE) == before:
        assert time.monotonic() < until, "the chart is another one"
        time.sleep(0.05)


def test_what_is_written_meanwhile_appears(browser: Any, tmp_path: Path) -> None:
    """The page waits for a store, fills when there is one, and follows it."""
    path = tmp_path / "store.sqlite"
    handle = start_in_thread(path, "beijing-air")
    browser.get(handle.url)
    _wait(browser, "return document.getElementById('live-text').textContent", "waiting for the first windows")
    write_store(path, panes=40)
    _wait(browser, "return document.getElementById('live-text').textContent", "events up to 2013-03-11 00:00 UTC")
    write_store(path, panes=80)
    _wait(browser, "return document.getElementById('live-text').textContent", "events up to 2013-03-21 00:00 UTC")
    handle.stop()


def _wait(browser: Any, script: str, wanted: str) -> None:
    until = time.monotonic() + 20
    while (found := browser.execute_script(script)) != wanted:
        assert time.monotonic() < until, found
        time.sleep(0.1)
