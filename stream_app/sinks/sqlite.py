"""The embedded store: one SQLite file (WAL) with one writer. The console reads it while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stream_app.sinks.base import encoded, parts_of
from stream_app.sinks.files import open_database, sentences, transaction
from stream_app.sinks.upgrade import upgrade
from stream_app.sinks.window_table import (
    SCHEMA,
    Windows,
    WindowTable,
    check_texts,
    is_window,
    object_of,
    series_of,
    windows_of,
)
from stream_app.stages.outputs import Block, Point
from stream_app.stages.point_blocks import WindowBlock

_SETTING = "sink.path"
_VERSION = 2
_SCHEMA = f"""{SCHEMA}
CREATE TABLE others (
    measurement TEXT NOT NULL,
    series TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (measurement, series, time_ms)
) WITHOUT ROWID;
CREATE INDEX others_by_time ON others (measurement, time_ms);
CREATE VIEW points (measurement, series, time_ms, tags, fields) AS
    SELECT 'windows', series, time_ms, tags, fields FROM windows JOIN series ON id = series_id
    UNION ALL SELECT measurement, series, time_ms, tags, fields FROM others;
"""  # noqa: S608 - no values
"""``points`` is for people: it has all of them, as if they lay in one table."""

_WRITE = "INSERT OR REPLACE INTO others (measurement, series, time_ms, tags, fields) VALUES (?, ?, ?, ?, ?)"
_INT64 = range(-(2**63), 2**63)

Row = tuple[str, str, int, str, str]


class SQLiteSink:
    """Points in a file, by measurement, series (:func:`~stream_app.sinks.window_table.series_of`) and time.

    Raises:
        SinkError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The spool keeps a point until it is here, hence NORMAL.
        self._db = open_database(path, _SETTING, _SCHEMA, _VERSION, "NORMAL", upgrade)
        self._db.execute("PRAGMA temp_store = MEMORY")  # what a statement of many rows may have to take back
        self._windows = WindowTable(self._db)

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        rows, windows = list[Row](), list[Windows]()
        for of_windows, of_others in encoded(parts_of(batch), _encode):
            windows += of_windows
            rows += of_others
        try:
            with sentences(self._path, "written", _SETTING), transaction(self._db):
                self._windows.write(windows)
                self._db.executemany(_WRITE, rows)
        except BaseException:
            self._windows.forget()
            raise

    def close(self) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._db.close()


def _encode(part: Point | Block) -> tuple[list[Windows], list[Row]]:
    """What is stored of a point or a block, by where."""
    if isinstance(part, WindowBlock):
        return windows_of(part), []
    windows, rows = list[Windows](), list[Row]()
    for point in (part,) if isinstance(part, Point) else part.points():
        if point.time_ms not in _INT64:
            raise OverflowError("its time is beyond 64 bits")
        tags, fields = object_of(point.tags), object_of(point.fields)
        series = series_of(point.tags)
        check_texts([point.measurement, series])
        if is_window(point):
            windows.append(Windows(point.tags[1:], [point.tags[0][1]], [point.time_ms], [fields]))
        else:
            rows.append((point.measurement, series, point.time_ms, tags, fields))
    return windows, rows
