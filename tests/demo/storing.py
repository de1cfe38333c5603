"""A store and a status of a run that never was."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.decisions import Activated
from stream_app.stages.outputs import Point
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.files import FileStore
from tests.stages.streams import config

AT_REST: dict[str, Any] = {"lag": 0, "pending": 0, "unwatched": 0, "late_panes": 0}


def config_in(folder: Path) -> Config:
    """A stream on two partitions whose files lie in a folder."""
    return msgspec.structs.replace(config(), root=str(folder))


def write_status(config: Config, received: int, unread: dict[str, int | None] | None = None, **fields: Any) -> None:
    """The status of one worker that owns both source partitions."""
    counters = dict.fromkeys(COUNTERS, 0) | {"received": received}
    status = {
        "at": 100.0,
        "counters": {"0": counters},
        "first_score_at": 90.0,
        "service": "m0",
        "refused": {"models": 0},
        "unread": {"0": 0, "1": 0} if unread is None else unread,
    }
    folder = config.path(config.state.dir) / "status"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.json").write_text(json.dumps(status | AT_REST | fields))


def write_points(config: Config, points: list[Point]) -> None:
    """Points in the store, and an empty spool."""
    sink = SQLiteSink(config.path(config.sink.path))
    sink.write(points)
    sink.close()
    Spool(config.path(config.sink.spool), 100).close()


def point(measurement: str, time_ms: int, tags: dict[str, str], **fields: Any) -> Point:
    """A point of any measurement."""
    return Point(measurement, tuple(sorted(tags.items())), time_ms, tuple(fields.items()))


def window(time_ms: int, slice_: str, model_id: str, scored: int, alarms: int, span: str = "pane") -> Point:
    """A window of a slice, of one pane or of a span."""
    tags = {"slice": slice_, "slicing": "station", "span": span, "stream": "s"}
    return point("windows", time_ms, tags, model_id=model_id, scored=scored, p_le_01=alarms)


def spool_one(config: Config) -> None:
    """A point that has not reached the store yet."""
    spool = Spool(config.path(config.sink.spool), 100)
    spool.append([point("windows", 1, {}, scored=1)])
    spool.close()


def activate(config: Config, partition: int, pane_start_ms: int, model_id: str) -> None:
    """A decision of a worker."""
    FileStore(config).record(Activated(partition, pane_start_ms, model_id))


def rows(path: Path, table: str) -> int:
    """Rows of a table of an SQLite file."""
    link = sqlite3.connect(path)
    try:
        return int(link.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        link.close()
