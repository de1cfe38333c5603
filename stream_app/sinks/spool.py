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

from stream_app.errors import SinkError
from stream_app.sinks.files import open_database, sentences, transaction
from stream_app.stages.outputs import Point

log = logging.getLogger(__name__)

_SETTING = "sink.spool"
_DECODER = msgspec.msgpack.Decoder(Point)
_VERSION = 1
_SCHEMA = """
CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL);
CREATE TABLE set_aside (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE lost (queue INTEGER NOT NULL, set_aside INTEGER NOT NULL);
INSERT INTO lost VALUES (0, 0);
"""
# By ids, which are given out in order: a count of millions of rows would take too long to ask often. Asked of the file,
# because the workers of one folder share it.
_COUNT = {name: f"SELECT coalesce(max(id) - min(id) + 1, 0) FROM {name}" for name in ("queue", "set_aside")}  # noqa: S608
_TRIM = {name: f"DELETE FROM {name} WHERE id <= (SELECT max(id) FROM {name}) - ?" for name in _COUNT}  # noqa: S608
_ADD_LOST = {name: f"UPDATE lost SET {name} = {name} + ?" for name in _COUNT}  # noqa: S608
_PAGE = 1_000


class Spool:
    """A queue of points in an SQLite file (WAL, ``synchronous=FULL``: an append is on disk when it returns).

    Args:
        path: the file; made when missing.
        max_points: bound of the queue, and of what is set aside. Above it the *oldest* points go first, and are counted
            in :attr:`dropped` and :attr:`forgotten`: the windows of today are worth more than those of last week.

    Raises:
        SinkError: by every method: the file is full, locked, damaged or cannot be opened. What failed has had no
            effect.
    """

    def __init__(self, path: Path, max_points: int) -> None:
        self.path, self._max = Path(path), max_points
        self._lock = threading.Lock()
        self._db = open_database(self.path, _SETTING, _SCHEMA, _VERSION, "FULL")

    def append(self, points: Sequence[Point]) -> None:
        """Add points; they are durable when this returns. One that no file can hold is set aside as a text."""
        blobs, odd = list[tuple[bytes]](), list[tuple[bytes, str]]()
        for point in points:
            try:
                blobs.append((msgspec.msgpack.encode(point),))
            except (OverflowError, TypeError, ValueError) as error:
                odd.append((_text(point), f"the spool cannot hold it: {error}"))
        with self._writing() as db:
            db.executemany("INSERT INTO queue (point) VALUES (?)", blobs)
            over = _trim(db, "queue", self._max)
            db.executemany("INSERT INTO set_aside (point, reason) VALUES (?, ?)", odd)
            _trim(db, "set_aside", self._max)
        if over:
            log.error(
                "The spool %s is full (%d points): the oldest %d were dropped. Is the sink reachable?",
                self.path,
                self._max,
                over,
            )
        for _, reason in odd:
            log.error("A point was set aside: %s", reason)

    def read(self, n: int, after: int = 0) -> list[tuple[int, Point]]:
        """The oldest ``n`` points with ids beyond ``after``, and the ids; they stay until :meth:`drop`.

        Those that cannot be decoded are set aside.
        """
        while True:
            with self._reading() as db:
                rows = db.execute("SELECT id, point FROM queue WHERE id > ? ORDER BY id LIMIT ?", (after, n)).fetchall()
            points = [(number, point) for number, blob in rows if (point := decoded(blob)) is not None]
            known = {number for number, _ in points}
            for number, _ in rows:
                if number not in known:
                    log.error("Point %d of the spool %s cannot be decoded and was set aside", number, self.path)
                    self.set_aside(number, "the spool cannot decode it")
            if points or not rows:
                return points

    def drop(self, ids: Sequence[int]) -> None:
        """Forget points that the sink has taken."""
        with self._writing() as db:
            db.executemany("DELETE FROM queue WHERE id = ?", [(number,) for number in ids])

    def set_aside(self, number: int, reason: str) -> None:
        """Move a point that the sink will never take out of the way, with the reason, for people to look at."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO set_aside (point, reason) SELECT point, ? FROM queue WHERE id = ?", (reason, number)
            )
            db.execute("DELETE FROM queue WHERE id = ?", (number,))
            _trim(db, "set_aside", self._max)

    def aside(self) -> Iterator[tuple[Point | None, str]]:
        """What is set aside with its reasons, oldest first; None is a point that cannot be decoded."""
        last = 0
        while True:
            with self._reading() as db:
                rows = db.execute(
                    "SELECT id, point, reason FROM set_aside WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from ((decoded(blob), reason) for _, blob, reason in rows)

    def put_back(self) -> int:
        """Put everything that is set aside at the end of the queue, durably; how many points these are.

        Raises:
            SinkError: the queue has no room for them; they stay where they are.
        """
        with self._writing() as db:
            waiting, back = (int(db.execute(_COUNT[name]).fetchone()[0]) for name in ("queue", "set_aside"))
            if waiting + back > self._max:
                raise SinkError(
                    f"{self.path} has no room for {back:,} points that are set aside, {waiting:,} of {self._max:,} "
                    "wait already: let the sink take some first, or raise sink.spool_max_points"
                )
            db.execute("INSERT INTO queue (point) SELECT point FROM set_aside ORDER BY id")
            db.execute("DELETE FROM set_aside")
        return back

    def __len__(self) -> int:
        with self._reading() as db:
            return int(db.execute(_COUNT["queue"]).fetchone()[0])

    @property
    def kept_aside(self) -> int:
        """Points that are set aside now."""
        with self._reading() as db:
            return int(db.execute(_COUNT["set_aside"]).fetchone()[0])

    @property
    def dropped(self) -> int:
        """Points dropped because the queue was full, ever."""
        return self._lost()[0]

    @property
    def forgotten(self) -> int:
        """Points that were set aside and dropped because there were too many of them, ever."""
        return self._lost()[1]

    def close(self) -> None:
        """Close the file, unless a thread that hangs is at it: what was appended is on disk anyway."""
        if self._lock.acquire(timeout=1.0):
            try:
                self._db.close()
            finally:
                self._lock.release()

    def _lost(self) -> tuple[int, int]:
        with self._reading() as db:
            queue, aside = db.execute("SELECT queue, set_aside FROM lost").fetchone()
        return int(queue), int(aside)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "read", _SETTING):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "written", _SETTING), transaction(self._db):
            yield self._db


def decoded(blob: bytes) -> Point | None:
    """A point of the file; None where the bytes are none."""
    try:
        return _DECODER.decode(blob)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


def _trim(db: sqlite3.Connection, table: str, most: int) -> int:
    """Delete the oldest rows beyond ``most``, count them, and say how many these were."""
    over = db.execute(_TRIM[table], (most,)).rowcount
    if over:
        db.execute(_ADD_LOST[table], (over,))
    return over


def _text(point: Point) -> bytes:
    try:
        return ascii(point).encode()
    except ValueError:  # a number with thousands of digits
        return ascii((point.measurement, point.tags)).encode()
