"""Incidents in a real browser: lists, filters, a view of each, answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_app.console.acting import Desk
from stream_app.console.answers import Store
from stream_app.console.server import Handle, start_in_thread
from stream_app.kafka.actions import read_actions
from stream_app.kafka.topics import ensure_topics
from stream_app.models.marks import Marks
from tests.brokers import EMBEDDED
from tests.console.browsing import DRAWN, INK, TITLE, open_page, wait
from tests.console.storing import write_wide_store
from tests.console.telling import DRIFTED, PANE_MS, START_MS, made, made_incident, tell


@pytest.mark.parametrize("width", [1280, 390])
def test_an_incident_has_a_view_of_its_own(
    browser: Any, serve: Callable[[Path], Handle], store: Path, width: int
) -> None:
    open_page(browser, serve(store), width)
    wait(browser, DRAWN, 3)
    ask = browser.execute_script
    ask("document.querySelector('article.incident a').click()")
    wait(browser, "location.hash", "#incident=drift-1")
    wait(browser, "document.querySelectorAll('#picture canvas').length", 1)
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
        assert ask(INK, "picture", ink) > 40, f"{ink} is drawn"
    ask("document.querySelector('#measures button:nth-child(2)').click()")
    wait(browser, "document.getElementById('picture-title').textContent", "Events a pane")
    ask("history.back()")
    wait(browser, "document.getElementById('incident').hidden && !document.getElementById('main').hidden", True)
    wait(browser, DRAWN, 8)


def test_an_incident_that_is_not_there_is_said_not_to_be(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    open_page(browser, serve(store), address="/#incident=nowhere")
    wait(browser, "document.querySelector('#incident-head h2')?.textContent", "No such incident")
    browser.find_element("css selector", ".back").click()
    wait(browser, "document.querySelectorAll('#list tbody a.sentence').length", 5)
    browser.find_element("css selector", "#list a[href*=slice]").click()
    wait(browser, TITLE, DRIFTED)


def test_incidents_are_filtered_by_the_server_and_the_address_says_how(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    open_page(browser, serve(store), address="/#view=incidents")
    rows = "[...document.querySelectorAll('#list tbody a.sentence')].map((a) => a.hash.split('=')[1]).join()"
    wait(browser, rows, "drift-1,fault-2,hushed-1,drift-0,fault-1")
    ask = browser.execute_script
    choose = "const f = document.getElementById('filters'); f.{0}.value = '{1}'; f.oninput()"
    ask(choose.format("state", "open"))
    wait(browser, rows, "drift-1,fault-2,hushed-1")
    ask(choose.format("silenced", "0"))
    wait(browser, rows, "drift-1,fault-2")
    ask(choose.format("severity", "warning"))
    wait(browser, rows, "fault-2")
    wait(browser, "location.hash", "#view=incidents&state=open&severity=warning&silenced=0")
    ask("document.getElementById('filters').reset()")
    wait(browser, rows, "drift-1,fault-2,hushed-1,drift-0,fault-1")
    browser.find_element("css selector", "#filters [name=slice]").send_keys("tian")
    wait(browser, rows, "hushed-1,fault-1")
    ask(choose.format("kind", "fault"))
    wait(browser, rows, "fault-1")
    ask(choose.format("to", "2013-02-01"))
    wait(browser, "document.querySelector('#list tbody').innerText", "None fits: clear a filter.")
    ask(choose.format("from", "2014-02-01"))
    wait(browser, "document.getElementById('list-count').innerText.includes('is not later than from=')", True)


def test_links_lead_to_pages_only(browser: Any, serve: Callable[[Path], Handle], tmp_path: Path) -> None:
    write_wide_store(tmp_path / "store.sqlite", ["a"])
    links = {"grafana": "https://grafana.example/d/1", "console": "https://x.example", "bad": "javascript:alert(1)"}
    tell(tmp_path / "store.sqlite", made_incident("beijing-air", "b", START_MS, START_MS + PANE_MS, links=links))
    open_page(browser, serve(tmp_path / "store.sqlite"))
    wait(browser, "[...document.querySelectorAll('.answering a')].map((a) => a.href)", ["https://grafana.example/d/1"])


def test_answers_that_may_be_given_only_after_all_is_drawn_are_there(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    open_page(browser, serve(store))
    wait(browser, "document.querySelectorAll('.answering details').length > 0", True)
    ready = "{ ok: true, json: async () => ({ ready: true, known: true }) }"
    asked = f"window.fetch = async (url, how) => url === '/api/acting' ? {ready} : fetched(url, how)"
    browser.execute_script(f"const fetched = window.fetch; {asked}; followActing()")
    wait(browser, "document.querySelectorAll('article button[title]').length > 0", True)


@EMBEDDED
def test_people_answer_on_the_page(
    browser: Any, broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path
) -> None:
    config = made(tmp_path, unique("air"), broker[1])
    ensure_topics(config)
    desk = Desk(config)
    handle = start_in_thread(Store.of(config), desk=desk)
    try:
        open_page(browser, handle, 390, address=f"/#token={desk.token}")
        wait(browser, "document.getElementById('answers-fields').hidden", False)
        assert browser.execute_script("return location.hash") == "", "the token does not stay in the address"
        browser.find_element("id", "by").send_keys("Li")
        wait(browser, "document.querySelectorAll('article button[title]').length > 0", True)
        browser.find_element("css selector", "article[data-id=fault-2] [data-key='driftflow ack fault-2']").click()
        sent = "document.querySelector('[data-sent=fault-2]').textContent"
        wait(browser, f"{sent}.startsWith('Sent.') || {sent}", True, seconds=90)
        (action,) = read_actions(config, Marks(config).is_trusted)
        assert (action.verb, action.incident_id, action.by) == ("ack", "fault-2", "Li")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        handle.stop()
