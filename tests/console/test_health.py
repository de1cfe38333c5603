"""What fails in a process is on the page, also before there is any window, and only as long as it does. The store with
windows tells of a drainer that fails.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from schemas.records import Health
from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.worker.health import health_point
from tests.console.storing import write_store
from tests.console.telling import HOSTILE


def tell(path: Path, *healths: tuple[str, str, int]) -> None:
    """Part, state and time of messages that a worker has stored."""
    sink = SQLiteSink(path)
    for part, state, since_ms in healths:
        says = f"{part} is in trouble" if state == "failing" else ""
        health = Health(stream="beijing-air", source="worker w-1", part=part, state=state, says=says, since_ms=since_ms)
        sink.write([health_point(health)])
    sink.close()


@pytest.mark.parametrize("windows", [True, False], ids=["with windows", "without"])
def test_what_fails_is_told_until_it_works_again(tmp_path: Path, windows: bool) -> None:
    path = tmp_path / "store.sqlite"
    if windows:
        write_store(path)
    tell(path, ("spool", "failing", 5_000), (HOSTILE, "failing", 6_000), ("model", "failing", 7_000))
    tell(path, ("model", "ok", 8_000))
    handle = start_in_thread(Store(path, "beijing-air"))
    try:
        with httpx.Client(base_url=handle.url, trust_env=False) as client:
            answer = client.get("/api/overview").json()
            if windows:
                assert [row["part"] for row in answer["overview"]["health"]] == ["drainer", HOSTILE, "spool"]
                assert answer["overview"]["health"][2]["says"] == "spool is in trouble"
                assert answer["why"] == ""
            else:
                assert answer["overview"] is None
                assert answer["why"] == f"{HOSTILE}: {HOSTILE} is in trouble; spool: spool is in trouble"
            tell(path, ("spool", "ok", 9_000), (HOSTILE, "ok", 9_000))
            assert windows or client.get("/api/overview").json()["why"] == ""
        _, overview = Store(path, "beijing-air").overview()  # anew: an overview is kept for a while
        assert [row["part"] for row in (overview or {}).get("health", [])] == ["drainer"][:windows]
    finally:
        handle.stop()
