"""The embedded store: one SQLite file (WAL) with one writer. The console reads it while it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from stream_app.sinks.base import encoded
from stream_app.sinks.files import open_database, sentences, transaction
from stream_app.stages.outputs import Point

_SETTING = "sink.path"
_VERSION = 1
_SCHEMA = """
CREATE TABLE points (
    measurement TEXT NOT NULL,
    series TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (measurement, series, time_ms)
) WITHOUT ROWID;
CREATE INDEX points_by_time ON points (measurement, time_ms);
"""
_WRITE = "INSERT OR REPLACE INTO points (measurement, series, time_ms, tags, fields) VALUES (?, ?, ?, ?, ?)"
_INT64 = range(-(2**63), 2**63)
_WITHIN = str.maketrans({",": "\\,", "\\": "\\\\"})

Row = tuple[str, str, int, str, str]


class SQLiteSink:
    """Points in a file, by measurement, series (:func:`series_of`) and time.

    Raises:
        SinkError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The spool keeps a point until it is here, hence NORMAL.
        self._db = open_database(path, _SETTING, _SCHEMA, _VERSION, "NORMAL")

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        rows = encoded(batch, _row)
        with sentences(self._path, "written", _SETTING), transaction(self._db):
            self._db.executemany(_WRITE, rows)

    def close(self) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._db.close()


def _row(point: Point) -> Row:
    row = (point.measurement, series_of(point.tags), point.time_ms, _object(point.tags), _object(point.fields))
    if point.time_ms not in _INT64:
        raise OverflowError("its time is beyond 64 bits")
    for text in row[:2]:
        text.encode()  # lone surrogates, which SQLite would refuse in the midst of a batch
    return row


def series_of(tags: Iterable[tuple[str, str]]) -> str:
    """The series of some tags: ``name=value`` joined by commas, with a backslash before those within a value.

    >>> series_of((("slice", "a,b=c"), ("stream", "s")))
    'slice=a\\\\,b=c,stream=s'
    """
    return ",".join([f"{name}={value if value.isalnum() else value.translate(_WITHIN)}" for name, value in tags])


def _object(pairs: Sequence[tuple[str, object]]) -> str:
    return msgspec.json.encode(dict(pairs)).decode()
