"""For everybody: axe-core finds nothing to mend on any view, and all of it can be done with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.records import ModelNotice
from stream_app.console import server
from stream_app.console.acting import Desk
from stream_app.console.answers import Store
from stream_app.console.server import Handle, start_in_thread
from stream_app.kafka.actions import read_actions
from stream_app.kafka.topics import ensure_topics
from stream_app.models.marks import Marks
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from tests.brokers import EMBEDDED
from tests.console.browsing import DRAWN, open_page, wait
from tests.console.telling import DRIFTED, START_MS, made

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
"""axe-core as its project publishes it on npm (MPL-2.0, its licence beside it); for tests only."""

RUN = """
const done = arguments[arguments.length - 1];
axe.run().then((found) => done({
  passed: found.passes.length,
  violations: found.violations.flatMap(({ id, nodes }) => nodes.map((n) => [id, n.target.join(" "), n.failureSummary])),
}));
"""

VIEWS = {
    "overview": ("/", DRAWN, 3),
    "incidents": ("/#view=incidents", "document.querySelectorAll('#list tbody a.sentence').length", 5),
    "incident": ("/#incident=drift-1", "document.querySelectorAll('#blamed canvas').length", 4),
    "watcher": ("/#view=watcher", "document.querySelectorAll('#partitions tbody tr').length", 2),
    "models": ("/#view=models", "document.querySelectorAll('#fair tbody tr').length", 3),
}


def violations(browser: Any) -> list[Any]:
    """What axe-core finds in the page as it is."""
    browser.execute_script(AXE.read_text())
    found = browser.execute_async_script(RUN)
    assert found["passed"] > 10
    return list(found["violations"])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["wide light", "narrow dark"])
def test_axe_finds_nothing(
    browser: Any, serve: Callable[[Path], Handle], store: Path, view: str, width: int, scheme: str
) -> None:
    address, script, wanted = VIEWS[view]
    open_page(browser, serve(store), width, scheme, address)
    wait(browser, script, wanted)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert violations(browser) == []


def test_axe_would_find_something(browser: Any, serve: Callable[[Path], Handle], store: Path) -> None:
    open_page(browser, serve(store), address="/#view=watcher")
    wait(browser, "document.querySelectorAll('#partitions tbody tr').length", 2)
    browser.execute_script("document.getElementById('stream').style.color = '#ddd'")
    assert {one[0] for one in violations(browser)} == {"color-contrast"}


def test_an_empty_store_has_nothing_to_mend_and_says_what_to_do(
    browser: Any, serve: Callable[[Path], Handle], tmp_path: Path
) -> None:
    open_page(browser, serve(tmp_path / "none.sqlite"), 390)
    wait(browser, "document.getElementById('waiting').innerText.includes('driftflow worker')", True)
    assert violations(browser) == []
    for view, words in (("models", "driftflow trainer --bootstrap-until"), ("watcher", "driftflow doctor")):
        browser.execute_script(f"location.hash = 'view={view}'")
        wait(browser, f"document.getElementById('content').innerText.includes({words!r})", True)
        assert violations(browser) == []


KEYS = {"tab": "\ue004", "enter": "\ue007", "escape": "\ue00c"}


def press(browser: Any, *names: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(browser)
    for name in names:
        chain = chain.send_keys(KEYS.get(name, name))
    chain.perform()


def tab_to(browser: Any, script: str, most: int = 60) -> None:
    """Go on with the tabulator until what has the focus is what is meant, which shows that it has it."""
    for _ in range(most):
        press(browser, "tab")
        if browser.execute_script(f"const at = document.activeElement; return Boolean({script})"):
            outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            return
    raise AssertionError(f"{script} is not reached by {most} tabs")


def test_with_the_keyboard_alone_one_comes_to_an_incident_its_slice_and_back(
    browser: Any, serve: Callable[[Path], Handle], store: Path
) -> None:
    open_page(browser, serve(store))
    wait(browser, DRAWN, 3)
    press(browser, "tab", "enter")
    wait(browser, "document.activeElement.id", "content")
    tab_to(browser, "at.dataset.key === 'read drift-1'")
    press(browser, "enter")
    wait(browser, "document.querySelectorAll('#blamed canvas').length", 4)
    tab_to(browser, "at.textContent === 'events' && at.closest('#measures')")
    press(browser, "enter")
    wait(browser, "document.getElementById('picture-title').textContent", "Events a pane")
    tab_to(browser, f"at.textContent === '{DRIFTED}' && at.closest('#members')")
    press(browser, "enter")
    wait(browser, "document.getElementById('slice-title').textContent", DRIFTED)
    tab_to(browser, "at.dataset.view === 'models'")
    press(browser, "enter")
    wait(browser, "document.querySelector('[aria-current]').textContent", "Models")


@pytest.fixture
def answered(
    browser: Any, broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path
) -> Iterator[Callable[[], list[Any]]]:
    """The page of an incident that is open, with the token, and a model that waits; what has been said so far."""
    config = made(tmp_path, unique("air"), broker[1])
    ensure_topics(config)
    sink = SQLiteSink(config.path(config.sink.path))
    waits = ModelNotice("m-7", config.stream, "waiting", "", "r-7", START_MS, 1_000, {}, "a person has to say")
    sink.write([points.model_point(waits)])
    sink.close()
    desk = Desk(config)
    handle = start_in_thread(Store.of(config), desk=desk)
    open_page(browser, handle, 390, "dark", f"/#token={desk.token}")
    wait(browser, "mayAct()", True)
    browser.execute_script("location.hash = 'incident=drift-1'")
    wait(browser, "document.querySelectorAll('#incident-head button[title]').length", 5)
    yield lambda: read_actions(config, Marks(config).is_trusted)
    handle.stop()


@EMBEDDED
def test_a_silence_says_first_what_it_covers_and_is_given_with_the_keyboard(
    browser: Any, answered: Callable[[], list[Any]]
) -> None:
    press(browser, "tab")
    tab_to(browser, "at.textContent === 'Silence'")
    press(browser, "enter")
    wait(browser, "document.getElementById('ask').open", True)
    assert f"everything at station {DRIFTED}" in browser.execute_script(
        "return document.getElementById('ask-says').innerText"
    )
    assert violations(browser) == []
    press(browser, "escape")
    wait(browser, "document.getElementById('ask').open", False)
    assert answered() == []
    tab_to(browser, "at.textContent === 'Silence'")
    press(browser, "enter")
    wait(browser, "document.activeElement.id", "ask-why")
    press(browser, "m", "o", "v", "e", "d", "enter")
    sent = "document.querySelector('#incident-head [data-sent=drift-1]').textContent"
    wait(browser, f"{sent}.startsWith('Sent.') || {sent}", True, seconds=90)
    (action,) = answered()
    assert (action.verb, action.why, action.slices) == ("silence", "moved", [f"station={DRIFTED}"])


@EMBEDDED
def test_what_is_said_of_a_model_is_asked_first_and_answered_beside_it(
    browser: Any, answered: Callable[[], list[Any]]
) -> None:
    """The store's candidate is on no signals topic here: the sentence of the command says so, beside the model."""
    browser.execute_script("location.hash = 'view=models'")
    wait(browser, "document.querySelectorAll('.model button').length", 2)
    browser.execute_script("document.querySelector('.model button').click()")
    wait(browser, "document.getElementById('ask').open", True)
    assert "It goes on: into service" in browser.execute_script("return document.getElementById('ask-says').innerText")
    press(browser, "enter")
    told = "document.querySelector('.model .sent').textContent"
    wait(browser, f"/sending/.test({told}) || {told}.includes('no model that waits')", True)
    wait(browser, f"{told}.includes('no model that waits')", True, seconds=60)
    assert answered() == []


def test_nothing_is_claimed_before_the_first_answer() -> None:
    """It said for a moment that no worker runs, to everybody who opened the page."""
    page = (Path(server.__file__).parent / "static" / "index.html").read_text()
    assert '<div id="waiting" class="panel" hidden>' in page
