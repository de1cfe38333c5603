"""A durable queue of points between the pipeline and a sink.

The worker appends before offsets move; a drainer thread empties it at the sink's own pace. Nothing is lost when the sink
is away, and nothing waits for it: InfluxDB may be down for a day.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected, Sink, opening
from stream_app.stages.outputs import Point

log = logging.getLogger(__name__)

BATCH_POINTS = 2_000
_BACKOFF_S, _BACKOFF_S_MAX = 0.25, 30.0
_IDLE_S = 0.1

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

    def aside(self) -> list[tuple[Point, str]]:
        """Points set aside, with their reasons."""
        with self._lock:
            rows = self._db.execute("SELECT point, reason FROM set_aside ORDER BY id").fetchall()
        return [(_DECODER.decode(blob), reason) for blob, reason in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


class _transaction:
    """BEGIN IMMEDIATE … COMMIT; rolled back on an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


class Drainer:
    """A thread that empties a spool into a sink: synchronous writes, its own backoff, bad points set aside by bisection.

    Args:
        spool: where points come from.
        sink: where they go. :class:`~stream_app.sinks.base.Rejected` makes the drainer bisect; OSError and SinkError
            make it wait and try again with everything kept.
    """

    def __init__(self, spool: Spool, sink: Sink) -> None:
        self._spool, self._sink = spool, sink
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)
        self.failures = 0
        """Writes that failed in a row."""

    def start(self) -> None:
        """Start draining."""
        self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the spool is empty; False when it is not after the timeout (the rest stays for next time)."""
        until = time.monotonic() + timeout_s
        while len(self._spool) and time.monotonic() < until and self._thread.is_alive():
            time.sleep(0.02)
        return not len(self._spool)

    def stop(self) -> None:
        """Stop after the write in hand, and close the sink."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30.0)
        self._sink.close()

    def _run(self) -> None:
        wait = _BACKOFF_S
        while not self._stop.is_set():
            batch = self._spool.read(BATCH_POINTS)
            if not batch:
                self._stop.wait(_IDLE_S)
                continue
            try:
                self._write(batch)
                wait, self.failures = _BACKOFF_S, 0
            except (OSError, SinkError) as error:
                self.failures += 1
                if self.failures in (1, 10) or self.failures % 100 == 0:
                    log.warning("%s; %d points are kept, next try in %.1f s", error, len(self._spool), wait)
                self._stop.wait(wait)
                wait = min(2 * wait, _BACKOFF_S_MAX)

    def _write(self, batch: list[tuple[int, Point]]) -> None:
        """Write and drop a batch; of a rejected one the good points are written and the bad ones set aside."""
        try:
            self._sink.write([point for _, point in batch])
        except Rejected as error:
            if len(batch) == 1:
                log.error("A point was refused and set aside: %s", error)
                self._spool.set_aside(batch[0][0], str(error))
                return
            half = len(batch) // 2
            self._write(batch[:half])
            self._write(batch[half:])
            return
        self._spool.drop([number for number, _ in batch])
