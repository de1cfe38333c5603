"""A worker without a broker."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream_app.sinks.spool import Spool
from stream_app.worker.agents import Worker
from stream_app.worker.state import StateStore
from tests.stages.streams import config


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker of two source and two partials partitions, with the first of each open; its broker does not exist."""
    stream = msgspec.structs.replace(config(windows={"idle_after": "1s"}), root=str(tmp_path))
    monkeypatch.setattr("stream_app.worker.models_feed.trusted_keys", lambda _: {})
    spool = Spool(tmp_path / "spool.sqlite", 100)
    made = Worker(stream, 2, StateStore(stream), spool, {"broker": "kafka://127.0.0.1:1"}, {})
    made.pipeline.open_score(0)
    made.pipeline.open_watch(0)
    return made
