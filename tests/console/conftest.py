"""A browser, a store with a story in it, and a console on a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stream_app.console.answers import Store
from stream_app.console.server import Handle, start_in_thread
from tests.conftest import cannot_start
from tests.console.storing import write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "store.sqlite"
    write_store(path)
    return path


@pytest.fixture(scope="session")
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
