"""The page in a real browser."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stream_app.console.acting import Desk
from stream_app.console.answers import SLICES_MAX, Store
from stream_app.console.server import Handle, start_in_thread
from stream_app.kafka.actions import read_actions
from stream_app.kafka.topics import ensure_topics
from stream_app.models.marks import Marks
from tests.brokers import EMBEDDED
from tests.conftest import cannot_start
from tests.console.storing import write_store, write_wide_store
from tests.console.telling import DRIFTED, HOSTILE, PANE_MS, START_MS, made, made_incident, tell


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
def serve() -> Iterator[Callable[[Path], Handle]]:
    with ExitStack() as stack:

        def start(path: Path) -> Handle:
            handle = start_in_thread(Store(path, "beijing-air"))
            stack.callback(handle.stop)
            return handle

        yield start


def _open(browser: Any, handle: Handle, width: int = 1280, scheme: str = "light", address: str = "") -> None:
    size = {"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(handle.url + address)


def _wait(browser: Any, script: str, wanted: object) -> None:
    until = time.monotonic() + 20
    while (found := browser.execute_script(f"return {script}")) != wanted:
        assert time.monotonic() < until, f"{found!r} is not {wanted!r}: {browser.get_log('browser')}"
        time.sleep(0.05)


_LIVE = "document.getElementById('live-text').textContent"
_TITLE = "document.getElementById('slice-title').textContent"
_DRAWN = "document.querySelectorAll('.chart canvas').length"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(
    browser: Any, serve: Callable[[Path], Handle], store: Path, width: int, scheme: str
) -> None:
    _open(browser, serve(store), width, scheme)
    _wait(browser, _DRAWN, 3)
    ask = browser.execute_script
    assert ask("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"
    for chart, name, least in (
        ("likelihood", "--accent", 200),
        ("likelihood", "--bad-band", 2000),
        ("likelihood", "--swap", 30),
        ("likelihood", "--ink", 40),
        ("strange", "--strange", 100),
        ("calibration", "--accent", 100),
        ("calibration", "--chance", 2000),
    ):
        assert ask(_INK, chart, name) > least, f"{name} is drawn on {chart}"
    dark = ask("return getComputedStyle(document.body).backgroundColor").startswith("rgb(16,")
    assert dark == (scheme == "dark")
    verdict = ask("return document.getElementById('verdict').textContent")
    assert verdict == ("2 incidents are open: 1 critical, 1 warning. 2 of 3 slices are concerned. 1 more is silenced.")
    for selector, wanted in (("article.incident", _OPEN), ("#past tbody tr", _PAST)):
        shown = ask(f"return [...document.querySelectorAll('{selector}')].map((node) => node.innerText)")
        for text, words in zip(shown, wanted, strict=True):
            assert all(word in text for word in words), (text, words)
    tiles = ask("return [...document.querySelectorAll('.slice')].map((tile) => tile.innerText)")
    assert "▲ critical: TEMP 4.1 σ higher" in tiles[0]
    assert "◆ warning: <img" in tiles[1]
    assert "▲ silenced: TEMP 4.1 σ higher" in tiles[2]
    assert ["notices 1.40 / 0.55 sd" in tile for tile in tiles] == [True, False, True]
    assert "notices – / 0.55 sd" in tiles[1]
    assert "in a day / a week" in ask("return document.querySelector('.shifts').title")
    assert ask("return document.querySelectorAll('.model li.fail').length") == 1
    assert ask("return document.querySelectorAll('.feature').length") == 11
    assert ask("return document.title") == "driftflow – beijing-air", "a hostile slice name stays text"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


_OPEN = [
    (
        *(
            "critical",
            "▲ drift",
            "since 2013-03-20 18:00 UTC, 20 days",
            "acknowledged by Li",
            DRIFTED,
            "33 % of the events",
        ),
        *("At Dongsi it is warmer and drier", "TEMP mean", "12.3 °C", "3.5 °C", "+4.1 σ", "60 %", "-9 °C", "-0.8 σ"),
        *("A new model is asked for", "Answer from the command line"),
    ),
    ("warning", "◆ data fault", f"{HOSTILE} sends fewer events than usual."),
]
_PAST = [
    (
        "2013-02-28 18:00",
        "a newer model takes it for normal",
        "2013-03-01 18:00",
        "▲ drift",
        DRIFTED,
        "said to be useful",
    ),
    ("as before", "◆ data fault", "Tiantan", "O3 does not change any more"),
]

_INK = """
const canvas = document.querySelector(`#${arguments[0]} canvas`);
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const probe = document.createElement('canvas').getContext('2d');
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(arguments[1]).trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
let n = 0;
for (let i = 0; i < pixels.length; i += 4) {
  const off = Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b);
  if (off < 12 && pixels[i + 3] > 200) n++;
}
return n;
"""


_PICTURE = "document.querySelector('#likelihood canvas').toDataURL()"


def test_choosing_a_slice_shows_that_slice(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    _open(browser, serve(store))
    _wait(browser, _TITLE, DRIFTED)
    before = browser.execute_script(f"return {_PICTURE}")
    browser.execute_script("document.querySelector('[data-slice=Tiantan]').click()")
    _wait(browser, _TITLE, "Tiantan")
    assert browser.execute_script("return document.querySelector('[data-slice=Tiantan]').ariaPressed") == "true"
    _wait(browser, f"{_PICTURE} !== {before!r}", True)


@pytest.mark.parametrize("width", [1280, 390])
def test_an_incident_has_a_view_of_its_own(
    browser: Any, serve: Callable[[Path], Handle], store: Path, width: int
) -> None:
    _open(browser, serve(store), width)
    _wait(browser, _DRAWN, 3)
    ask = browser.execute_script
    ask("document.querySelector('article.incident a').click()")
    _wait(browser, "location.hash", "#incident=drift-1")
    _wait(browser, "document.querySelectorAll('#picture canvas').length", 1)
    assert ask("return document.getElementById('main').hidden")
    assert ask("return document.documentElement.scrollWidth") <= width
    text = ask("return document.getElementById('incident').innerText")
    for words in (
        *("At Dongsi it is warmer and drier", "12.3 °C", "by Li", "1,235; it opened at 1,000", "While nothing changes"),
        *(
            "severity changed",
            "Li: acknowledged – looking at it",
            "beijing.air, partition 2, offset 4711",
            "release 4.2",
        ),
        *("TEMP, location, higher", "still so", "open for 20 days", "A new model is asked for"),
    ):
        assert words in text
    for ink in ("--accent", "--bad-band", "--ink", "--bad"):
        assert ask(_INK, "picture", ink) > 40, f"{ink} is drawn"
    ask("document.querySelector('#measures button:nth-child(2)').click()")
    _wait(browser, "document.getElementById('picture-title').textContent", "Events a pane")
    ask("history.back()")
    _wait(browser, "document.getElementById('incident').hidden && !document.getElementById('main').hidden", True)
    _wait(browser, _DRAWN, 4)


def test_an_incident_that_is_not_there_is_said_not_to_be(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    _open(browser, serve(store), address="/#incident=nowhere")
    _wait(browser, "document.querySelector('#incident-head h2')?.textContent", "No such incident")
    browser.find_element("css selector", ".back").click()
    _wait(browser, _TITLE, DRIFTED)


def test_incidents_are_filtered(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    _open(browser, serve(store))
    _wait(browser, _DRAWN, 3)
    ask = browser.execute_script
    cards = "[...document.querySelectorAll('#open article')].map((node) => node.dataset.id).join()"
    rows = "document.getElementById('past-part').hidden ? 0 : document.querySelectorAll('#past tbody tr a').length"
    _wait(browser, f"[{cards}, {rows}]", ["drift-1,fault-2", 2])
    ask("document.querySelector('#filter-silenced').click()")
    _wait(browser, cards, "drift-1,fault-2,hushed-1")
    assert float(ask("return getComputedStyle(document.querySelector('article.silenced')).opacity")) < 0.8
    ask("document.querySelector('#filter-state button:nth-child(2)').click()")
    _wait(browser, rows, 0)
    browser.find_element("id", "filter-slice").send_keys("tian")
    _wait(browser, cards, "hushed-1")
    ask("document.querySelector('#filter-silenced').click()")
    _wait(browser, "document.getElementById('open').innerText", "None is open but 1 that is silenced.")
    ask("document.querySelector('#filter-state button:nth-child(1)').click()")
    ask("const kind = document.querySelector('#filter-kind'); kind.value = 'drift'; kind.onchange()")
    _wait(browser, "document.querySelector('#past tbody').innerText", "None of them fits.")


def test_links_lead_to_pages_only(browser: Any, serve: Callable[[Path], Handle], tmp_path: Path) -> None:
    write_wide_store(tmp_path / "store.sqlite", ["a"])
    links = {"grafana": "https://grafana.example/d/1", "console": "https://x.example", "bad": "javascript:alert(1)"}
    tell(tmp_path / "store.sqlite", made_incident("beijing-air", "b", START_MS, START_MS + PANE_MS, links=links))
    _open(browser, serve(tmp_path / "store.sqlite"))
    _wait(browser, "[...document.querySelectorAll('.answering a')].map((a) => a.href)", ["https://grafana.example/d/1"])


@EMBEDDED
def test_people_answer_on_the_page(
    browser: Any, broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path
) -> None:
    config = made(tmp_path, unique("air"), broker[1])
    ensure_topics(config)
    handle = start_in_thread(Store.of(config), desk=Desk(config))
    try:
        _open(browser, handle, 390)
        _wait(browser, "document.getElementById('by').hidden", False)
        browser.find_element("id", "by").send_keys("Li")
        _wait(browser, "document.querySelectorAll('article button[title]').length > 0", True)
        browser.find_element("css selector", "article[data-id=fault-2] [data-key='driftflow ack fault-2']").click()
        sent = "document.querySelector('[data-sent=fault-2]').textContent"
        _wait(browser, f"{sent}.startsWith('Sent.') || {sent}", True)
        (action,) = read_actions(config, Marks(config).is_trusted)
        assert (action.verb, action.incident_id, action.by) == ("ack", "fault-2", "Li")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        handle.stop()


def test_pointing_at_a_curve_reads_it(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    _open(browser, serve(store))
    _wait(browser, _DRAWN, 3)
    for chart, word in (("likelihood", "nats"), ("strange", "strange")):
        over = browser.find_element("css selector", f"#{chart} .u-over")
        ActionChains(browser).move_to_element_with_offset(over, 200, 0).perform()
        _wait(
            browser, f"document.getElementById('{chart}-read').textContent.includes('{word} · drift: TEMP 4.1')", True
        )


def test_a_fault_is_told_from_drift_by_more_than_its_colour(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    _open(browser, serve(store))
    _wait(browser, _TITLE, DRIFTED)
    browser.execute_script("document.querySelector('.slice.warning').click()")
    _wait(browser, _TITLE, HOSTILE)
    _wait(browser, _DRAWN, 3)
    assert browser.execute_script(_INK, "strange", "--bad-band") == 0
    assert browser.execute_script(_INK, "strange", "--warn-band") > 2000
    assert 0.1 < browser.execute_script(_HATCHED) < 0.5, "lines across the band, more than the grid's"


_HATCHED = """
const canvas = document.querySelector('#strange canvas');
const pixels = canvas.getContext('2d').getImageData(Math.floor(canvas.width * 0.9), 20, 40, 30).data;
const seen = new Map();
for (let i = 0; i < pixels.length; i += 4) {
  const shade = `${pixels[i]},${pixels[i + 1]},${pixels[i + 2]}`;
  seen.set(shade, (seen.get(shade) ?? 0) + 4 / pixels.length);
}
return 1 - Math.max(...seen.values());
"""


def test_what_is_written_meanwhile_appears(browser: Any, serve: Callable[[Path], Handle], tmp_path: Path) -> None:
    """The page waits for a store, fills when there is one, follows it, and says when nobody answers any more."""
    path = tmp_path / "store.sqlite"
    handle = serve(path)
    _open(browser, handle)
    _wait(browser, _LIVE, "waiting for the first windows")
    _wait(browser, "document.getElementById('why').innerText.includes('store.sqlite does not exist yet')", True)
    write_store(path, panes=40)
    _wait(browser, _LIVE, "events up to 2013-03-11 00:00 UTC")
    write_store(path, panes=80)
    _wait(browser, _LIVE, "events up to 2013-03-21 00:00 UTC")
    handle.stop()
    _wait(browser, _LIVE, "the console does not answer; trying again")


def test_one_slice_of_many_is_found_by_name(browser: Any, serve: Callable[[Path], Handle], tmp_path: Path) -> None:
    write_wide_store(tmp_path / "store.sqlite", [f"device-{k:03d}" for k in range(SLICES_MAX + 80)])
    _open(browser, serve(tmp_path / "store.sqlite"), 390)
    _wait(browser, _TITLE, "device-199")  # the one that has drifted
    assert browser.execute_script("return document.querySelectorAll('.slice').length") == SLICES_MAX
    browser.find_element("id", "find").send_keys("ice-17")
    _wait(browser, "document.querySelectorAll('.slice').length", 10)
    assert browser.execute_script(f"return {_TITLE}") == "device-199", "what is looked at stays"
    browser.find_element("css selector", "[data-slice=device-175]").click()
    _wait(browser, _TITLE, "device-175")
    browser.find_element("id", "find").send_keys("x")
    _wait(browser, "document.getElementById('slices-more').textContent", "No slice has that in its name.")


@pytest.mark.parametrize("name", ["x" * 5_000, "many words " * 500, "<script>document.title = 1</script>" * 9])
def test_a_long_name_does_not_break_the_page(
    browser: Any, serve: Callable[[Path], Handle], tmp_path: Path, name: str
) -> None:
    write_wide_store(tmp_path / "store.sqlite", [name])
    _open(browser, serve(tmp_path / "store.sqlite"), 390)
    _wait(browser, _TITLE, name)
    _wait(browser, _DRAWN, 3)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert browser.execute_script("return document.querySelector('.slice').offsetHeight") < 160
    assert browser.execute_script("return document.documentElement.scrollHeight") < 4_500
    for chart, ink in (("likelihood", "--accent"), ("strange", "--strange")):
        assert browser.execute_script(_INK, chart, ink) > 8, f"a single pane is a dot on {chart}"
    assert browser.execute_script("return document.title") == "driftflow – beijing-air"


def test_damaged_points_are_counted_on_the_page(
    browser: Any, serve: Callable[[Path], Handle], store: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(store, tmp_path / "store.sqlite"))
    text = "document.getElementById('left-out').textContent"
    _open(browser, serve(store))
    _wait(browser, "document.getElementById('main').hidden || document.getElementById('left-out').hidden", True)
    with sqlite3.connect(path) as link:
        link.execute("INSERT INTO points VALUES ('windows', 'x', 1, '{', '{}')")
        link.execute("INSERT INTO points VALUES ('incidents', 'x', 9e18, '{}', '{}')")
    link.close()
    _open(browser, serve(path))
    _wait(browser, text, "2 points of the store are damaged and left out here.")
    _wait(browser, "document.getElementById('left-out').hidden", False)
