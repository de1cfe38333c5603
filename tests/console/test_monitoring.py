"""The console's probes and metrics."""

from __future__ import annotations

from pathlib import Path

from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from tests.console.storing import write_store
from tests.integration.monitored import ask, metrics, missing


def test_a_console_tells_how_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    console = start_in_thread(Store(path, "beijing-air"))
    try:
        assert ask(console.url, "/livez") == (200, "ok\n")
        assert ask(console.url, "/readyz") == (503, f"{path} does not exist yet\n")
        assert missing(metrics(console.url, "console"), "console") == {"driftflow_console_store_age_seconds"}
        write_store(path, panes=8)
        assert ask(console.url, "/readyz") == (200, "ok\n")
        for page in ("/", "/static/none.js", "/nothing", "/nothing/else", "/api/overview"):
            ask(console.url, page)
        found = metrics(console.url, "console")
        asked = {key[1:]: n for key, n in found.items() if key[0] == "driftflow_console_requests_total"}
        assert asked["path=/", "status=200"] == asked["path=/api/overview", "status=200"] == 1
        assert asked["path=/static", "status=404"] == 1
        assert asked["path=other", "status=404"] == 2
        assert found["driftflow_console_store_bytes",] > 1_000
        assert 0 <= found["driftflow_console_store_age_seconds",] < 3_600
        assert missing(found, "console") == set()
    finally:
        console.stop()
