"""A durable queue of points between the pipeline and a sink.

The worker appends before offsets move; :mod:`stream_app.sinks.drainer` empties it at the sink's own pace. Nothing is
lost when the sink is away, and nothing waits for it: InfluxDB may be down for a day.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stream_app.sinks.base import opening
from stream_app.stages.outputs import Point

log = logging.getLogger(__name__)

_DECODER = msgspec.msgpack.Decoder(Point)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS set_aside (id INTEGER PRIMARY KEY, point BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS dropped (n INTEGER NOT NULL);
INSERT INTO dropped SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM dropped);
"""


class Spool:
    """A queue of points in an SQLite file (WAL, ``synchronous=FULL``: an append is on disk when it returns).

    Args:
        path: the file; made when missing.
        max_points: bound. Above it the *oldest* points go first, and are counted in :attr:`dropped`: the windows of
            today are worth more than those of last week.

    Raises:
        SinkError: the file is no database, or cannot be opened.
    """

    def __init__(self, path: Path, max_points: int) -> None:
        self.path, self._max = Path(path), max_points
        self._lock = threading.Lock()
        with opening(self.path, "sink.spool"):
            self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=30.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)

    def append(self, points: Sequence[Point]) -> None:
        """Add points; they are durable when this returns."""
        rows = [(msgspec.msgpack.encode(point),) for point in points]
        with self._lock, _transaction(self._db):
            self._db.executemany("INSERT INTO queue (point) VALUES (?)", rows)
            over = self._count() - self._max
            if over > 0:
                self._db.execute("DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY id LIMIT ?)", (over,))
                self._db.execute("UPDATE dropped SET n = n + ?", (over,))
        if over > 0:
            log.error(
                "The spool %s is full (%d points): the oldest %d were dropped. Is the sink reachable?",
                self.path,
                self._max,
                over,
            )

    def read(self, n: int) -> list[tuple[int, Point]]:
        """The oldest ``n`` points with their ids; they stay until :meth:`drop`."""
        with self._lock:
            rows = self._db.execute("SELECT id, point FROM queue ORDER BY id LIMIT ?", (n,)).fetchall()
        return [(number, _DECODER.decode(blob)) for number, blob in rows]

    def drop(self, ids: Sequence[int]) -> None:
        """Forget points that the sink has taken."""
        with self._lock, _transaction(self._db):
            self._db.executemany("DELETE FROM queue WHERE id = ?", [(number,) for number in ids])

    def set_aside(self, number: int, reason: str) -> None:
        """Move a point that the sink will never take out of the way, with the reason, for people to look at."""
        with self._lock, _transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO set_aside SELECT id, point, ? FROM queue WHERE id = ?", (reason, number)
            )
            self._db.execute("DELETE FROM queue WHERE id = ?", (number,))

    def __len__(self) -> int:
        with self._lock:
            return self._count()

    def _count(self) -> int:
        """From the ids, which are given out in order: a count of millions of rows would take too long to ask often.
        Asked of the file, because the workers of one folder share it.
        """
        low, high = self._db.execute("SELECT min(id), max(id) FROM queue").fetchone()
        return 0 if low is None else int(high - low + 1)

    @property
    def dropped(self) -> int:
        """Points dropped because the spool was full, ever."""
        with self._lock:
            return int(self._db.execute("SELECT n FROM dropped").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
