"""Brings an embedded store of the first layout up to date: there all points lay in one table, by series."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from stream_app.sinks.files import transaction

log = logging.getLogger(__name__)

FORMER = 1
"""Number of that layout."""

_WINDOWS = "measurement = 'windows' AND substr(series, 1, 6) = 'slice=' AND typeof(time_ms) = 'integer'"
# Series are numbered by name, and the index of the former table has its rows by time and then by name: nothing has to
# be sorted, which would need as much room again.
_MOVE = (
    f"INSERT INTO series (series, tags) SELECT series, max(tags) FROM former WHERE {_WINDOWS} GROUP BY series",  # noqa: S608 - no values
    f"""
    INSERT INTO windows (time_ms, series_id, fields)
    SELECT time_ms, id, fields FROM former INDEXED BY points_by_time CROSS JOIN series USING (series)
    WHERE {_WINDOWS} ORDER BY time_ms
    """,  # noqa: S608
    "INSERT OR IGNORE INTO window_days (series_id, day) SELECT series_id, time_ms / 86400000 FROM windows",
    f"INSERT INTO others SELECT measurement, series, time_ms, tags, fields FROM former WHERE NOT ({_WINDOWS})",  # noqa: S608
    "DROP TABLE former",
)


def upgrade(db: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    """Move the points of a file of the former layout into the tables of this one, all of them or none.

    It needs as much room on the disk as the file has, which is free again for points to come.
    """
    if _layout(db) != FORMER:
        return
    megabytes = path.stat().st_size // 2**20
    log.warning("Bringing %s (%d MiB) to a new layout, once: a minute for each 1,000 MiB, or less", path, megabytes)
    with transaction(db):
        if _layout(db) == FORMER:  # no other worker was first
            db.execute("ALTER TABLE points RENAME TO former")
            for statement in (*schema.split(";"), *_MOVE, f"PRAGMA user_version = {version}"):
                db.execute(statement)
    log.warning("%s has the new layout", path)


def _layout(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
