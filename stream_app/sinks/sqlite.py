"""The embedded store: one SQLite file (WAL) with one writer. The console reads it while it is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream_app.errors import SinkError
from stream_app.sinks.base import opening
from stream_app.stages.outputs import Point

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS points (
    measurement TEXT NOT NULL,
    series TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (measurement, series, time_ms)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS points_by_time ON points (measurement, time_ms);
PRAGMA user_version = {_VERSION};
"""
_WRITE = "INSERT OR REPLACE INTO points (measurement, series, time_ms, tags, fields) VALUES (?, ?, ?, ?, ?)"


class SQLiteSink:
    """Points in a file, by measurement, series and time; a series is its tags, ``name=value`` joined by commas."""

    def __init__(self, path: Path) -> None:
        with opening(path, "sink.path"):
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=30.0)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise SinkError(
                f"{path} was written by another version of driftflow (layout {version}, this one knows {_VERSION}): "
                "name another sink.path"
            )
        with opening(path, "sink.path"):
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # the spool keeps a point until it is here
            self._db.executescript(_SCHEMA)

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        rows = [(p.measurement, _series(p), p.time_ms, _object(p.tags), _object(p.fields)) for p in batch]
        try:
            with self._db:
                self._db.executemany(_WRITE, rows)
        except sqlite3.OperationalError as error:  # disk full, locked by a stranger: try again
            raise SinkError(f"the store cannot be written: {error}") from error

    def close(self) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._db.close()


def _series(point: Point) -> str:
    return ",".join(f"{name}={value}" for name, value in point.tags)


def _object(pairs: Sequence[tuple[str, object]]) -> str:
    return msgspec.json.encode(dict(pairs)).decode()
