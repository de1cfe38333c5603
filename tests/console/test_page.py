"""The page in a real browser."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_app.console.listing import SLICES_A_PAGE
from stream_app.console.server import Handle
from tests.console.browsing import DRAWN, INK, LIVE, TITLE, open_page, wait
from tests.console.storing import write_long_store, write_store, write_wide_store
from tests.console.telling import DRIFTED, HOSTILE
from tests.sinks.making import insert


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(
    browser: Any, serve: Callable[[Path], Handle], store: Path, width: int, scheme: str
) -> None:
    open_page(browser, serve(store), width, scheme)
    wait(browser, DRAWN, 3)
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
        assert ask(INK, chart, name) > least, f"{name} is drawn on {chart}"
    dark = ask("return getComputedStyle(document.body).backgroundColor").startswith("rgb(16,")
    assert dark == (scheme == "dark")
    verdict = ask("return document.getElementById('verdict-says').textContent")
    assert verdict == ("2 incidents are open: 1 critical, 1 warning. 2 of 3 slices are concerned. 1 more is silenced.")
    shown = ask("return [...document.querySelectorAll('#open article')].map((node) => node.innerText)")
    for text, words in zip(shown, _OPEN, strict=True):
        assert all(word in text for word in words), (text, words)
    tiles = ask("return [...document.querySelectorAll('.slice')].map((tile) => tile.innerText)")
    assert "▲ critical: TEMP 4.1 σ higher" in tiles[0]
    assert "◆ warning: <img" in tiles[1]
    assert "▲ silenced: TEMP 4.1 σ higher" in tiles[2]
    assert ["notices 1.40 / 0.55 sd" in tile for tile in tiles] == [True, False, True]
    assert "notices – / 0.55 sd" in tiles[1]
    assert "in a day / a week" in ask("return document.querySelector('.shifts').title")
    assert ask("return document.querySelectorAll('.feature').length") == 11
    assert ask("return document.title") == "driftflow – beijing-air", "a hostile slice name stays text"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


_OPEN = [
    (
        *(
            "critical",
            "▲ drift",
            "began 2013-03-20 18:00 UTC, open for 20 days",
            "acknowledged by Li",
            DRIFTED,
            "33 % of the events",
        ),
        *("At Dongsi it is warmer and drier", "TEMP mean", "12.3 °C", "3.5 °C", "+4.1 σ", "60 %", "-9 °C", "-0.8 σ"),
        *("A new model is asked for", "Answer from the command line"),
    ),
    ("warning", "◆ data fault", f"{HOSTILE} sends fewer events than usual."),
    ("silenced", "▲ drift", "At Tiantan it is warmer and drier"),
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


def test_past_incidents_and_models_have_views(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    open_page(browser, serve(store), address="/#view=incidents&state=past")
    wait(browser, "document.querySelectorAll('#list tbody tr').length", 2)
    shown = browser.execute_script(
        "return [...document.querySelectorAll('#list tbody tr')].map((row) => row.innerText)"
    )
    for text, words in zip(shown, _PAST, strict=True):
        assert all(word in text for word in words), (text, words)
    browser.execute_script("document.querySelector('[data-view=models]').click()")
    wait(browser, "document.querySelectorAll('.model').length", 3)
    assert browser.execute_script("return document.querySelectorAll('.model li.fail').length") == 1
    assert "in service" in browser.execute_script("return document.querySelector('.model').innerText")
    wait(browser, "document.querySelectorAll('#fair tbody tr').length", 3)


_PICTURE = "document.querySelector('#likelihood canvas').toDataURL()"


def test_choosing_a_slice_shows_that_slice(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    open_page(browser, serve(store))
    wait(browser, TITLE, DRIFTED)
    before = browser.execute_script(f"return {_PICTURE}")
    browser.execute_script("document.querySelector('[data-slice=Tiantan]').click()")
    wait(browser, TITLE, "Tiantan")
    assert browser.execute_script("return document.querySelector('[data-slice=Tiantan]').ariaPressed") == "true"
    wait(browser, f"{_PICTURE} !== {before!r}", True)


def test_pointing_at_a_curve_reads_it(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    open_page(browser, serve(store))
    wait(browser, DRAWN, 3)
    for chart, word in (("likelihood", "nats"), ("strange", "strange")):
        over = browser.find_element("css selector", f"#{chart} .u-over")
        ActionChains(browser).move_to_element_with_offset(over, 200, 0).perform()
        wait(browser, f"document.getElementById('{chart}-read').textContent.includes('{word} · drift: TEMP 4.1')", True)


def test_a_fault_is_told_from_drift_by_more_than_its_colour(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    open_page(browser, serve(store))
    wait(browser, TITLE, DRIFTED)
    browser.execute_script("document.querySelector('.slice.warning').click()")
    wait(browser, TITLE, HOSTILE)
    wait(browser, DRAWN, 3)
    assert browser.execute_script(INK, "strange", "--bad-band") == 0
    assert browser.execute_script(INK, "strange", "--warn-band") > 2000
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
    open_page(browser, handle)
    wait(browser, LIVE, "waiting for the first windows")
    wait(browser, "document.getElementById('why').innerText.includes('store.sqlite does not exist yet')", True)
    write_store(path, panes=40)
    wait(browser, LIVE, "events up to 2013-03-11 00:00 UTC")
    write_store(path, panes=80)
    wait(browser, LIVE, "events up to 2013-03-21 00:00 UTC")
    handle.stop()
    wait(browser, LIVE, "the console does not answer; trying again")


def test_one_slice_of_many_is_found_by_name(browser: Any, serve: Callable[[Path], Handle], tmp_path: Path) -> None:
    write_wide_store(tmp_path / "store.sqlite", [f"device-{k:03d}" for k in range(200)])
    open_page(browser, serve(tmp_path / "store.sqlite"), 390)
    wait(browser, TITLE, "device-199")  # the one that has drifted
    assert browser.execute_script("return document.querySelectorAll('.slice').length") == SLICES_A_PAGE
    browser.find_element("id", "find").send_keys("ice-17")
    wait(browser, "document.querySelectorAll('.slice').length", 10)
    assert browser.execute_script(f"return {TITLE}") == "device-199", "what is looked at stays"
    browser.find_element("css selector", "[data-slice=device-175]").click()
    wait(browser, TITLE, "device-175")
    browser.find_element("id", "find").send_keys("x")
    wait(browser, "document.getElementById('slices').textContent", "No slice has that in its name.")


def test_a_slice_that_is_chosen_on_a_telephone_is_in_sight(
    browser: Any, serve: Callable[[Path], Handle], tmp_path: Path
) -> None:
    write_wide_store(tmp_path / "store.sqlite", [f"device-{k:03d}" for k in range(200)])
    open_page(browser, serve(tmp_path / "store.sqlite"), 390)
    wait(browser, TITLE, "device-199")
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.find_element("css selector", "[data-slice=device-003]").click()
    wait(browser, TITLE, "device-003")
    box = "document.getElementById('slice-title').getBoundingClientRect()"
    wait(browser, f"{box}.top >= 0 && {box}.bottom <= 800", True)


@pytest.mark.parametrize("address", ["", "#incident=drift-1", "#view=watcher"])
def test_a_command_within_a_sentence_looks_like_one(
    browser: Any, serve: Callable[[Path], Handle], store: Path, address: str
) -> None:
    open_page(browser, serve(store), address=address)
    wait(browser, "/driftflow (accept|dead-letters list)/.test(document.querySelector('main').innerText)", True)
    commands = "[...document.querySelectorAll('code')].map((one) => one.textContent)"
    wait(browser, f"{commands}.some((one) => /^driftflow (accept|dead-letters list)$/.test(one))", True)
    assert "`" not in browser.execute_script("return document.querySelector('main').innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("is_calm", [True, False], ids=["calm", "critical"])
def test_the_dot_has_the_colour_of_the_verdict(
    browser: Any, serve: Callable[[Path], Handle], store: Path, tmp_path: Path, is_calm: bool, scheme: str
) -> None:
    """A green dot beside a red sentence said that all was well."""
    if is_calm:
        write_long_store(tmp_path / "store.sqlite", 4)
    open_page(browser, serve(tmp_path / "store.sqlite" if is_calm else store), scheme=scheme)
    colours = (
        "[getComputedStyle(document.querySelector('.dot')).backgroundColor,"
        " getComputedStyle(document.getElementById('verdict')).borderLeftColor]"
    )
    wait(browser, f"new Set({colours}).size", 1)
    assert (browser.execute_script("return document.getElementById('verdict').className") == "critical") is not is_calm


@pytest.mark.parametrize("name", ["x" * 5_000, "many words " * 500, "<script>document.title = 1</script>" * 9])
def test_a_long_name_does_not_break_the_page(
    browser: Any, serve: Callable[[Path], Handle], tmp_path: Path, name: str
) -> None:
    write_wide_store(tmp_path / "store.sqlite", [name])
    open_page(browser, serve(tmp_path / "store.sqlite"), 390)
    wait(browser, TITLE, name)
    wait(browser, DRAWN, 3)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert browser.execute_script("return document.querySelector('.slice').offsetHeight") < 200
    assert browser.execute_script("return document.documentElement.scrollHeight") < 4_500
    for chart, ink in (("likelihood", "--accent"), ("strange", "--strange")):
        assert browser.execute_script(INK, chart, ink) > 8, f"a single pane is a dot on {chart}"
    assert browser.execute_script("return document.title") == "driftflow – beijing-air"


def test_damaged_points_are_counted_on_the_page(
    browser: Any, serve: Callable[[Path], Handle], store: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(store, tmp_path / "store.sqlite"))
    text = "document.getElementById('left-out').textContent"
    open_page(browser, serve(store))
    wait(browser, "document.getElementById('left-out').hidden", True)
    with sqlite3.connect(path) as link:
        insert(link, [("windows", "x", 1, "{", "{}"), ("incidents", "x", 9e18, "{}", "{}")])
    link.close()
    open_page(browser, serve(path))
    wait(browser, text, "2 points of the store are damaged and left out here.")
    wait(browser, "document.getElementById('left-out').hidden", False)
