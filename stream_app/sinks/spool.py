"""A durable queue of points between the pipeline and a sink.

The worker appends before offsets move; :mod:`stream_app.sinks.drainer` empties it at the sink's own pace. Nothing is
lost when the sink is away, and nothing waits for it: InfluxDB may be down for a day.

Every point has an id, in order. A block of points is one row, with the id of its last point; it becomes a row for each
point where only some of them go.

Where a byte of the file has changed, SQLite may say so, or give anything: NULL from a column that is NOT NULL, a text,
a fraction, a number without measure. Every value is therefore read by an expression that has one type and a bound.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import msgspec

from stream_app.errors import SinkError
from stream_app.sinks.files import damaged, open_database, sentences, transaction
from stream_app.stages.outputs import Block, Point, Points
from stream_app.stages.point_blocks import WindowBlock

log = logging.getLogger(__name__)

_SETTING = "sink.spool"
_DECODER = msgspec.msgpack.Decoder(Point)
_BLOCK = b"\xc1"
"""What a row that holds a block begins with; nothing in MessagePack does."""

_VERSION = 2
_SCHEMA = """
CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL, points INTEGER NOT NULL DEFAULT 1);
CREATE TABLE set_aside (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE lost (queue INTEGER NOT NULL, set_aside INTEGER NOT NULL);
INSERT INTO lost VALUES (0, 0);
"""
_INT64_MAX = 2**63 - 1
_BYTES = "coalesce(CAST(point AS BLOB), x'')"
"""A row's bytes, whatever is there."""

_SIZE = """
CASE WHEN typeof(points) = 'integer' AND points BETWEEN 1 AND min(id, length(point)) THEN points ELSE 0 END
"""
"""How many points a row says it holds: each has an id and takes a byte at least. 0 where that cannot be."""

_ROW = f"SELECT id, {_BYTES}, {_SIZE} FROM queue"  # noqa: S608 - no values, here and below
_SEQUENCE = "SELECT max(seq) FROM sqlite_sequence WHERE name = "
# By ids, which are given out in order: a count of millions of rows would take too long to ask often. Asked of the file,
# because the workers of one folder share it. An id that was never given out would make it any number.
_NEWEST = {name: f"(SELECT max(id) FROM {name} WHERE id <= ({_SEQUENCE}'{name}'))" for name in ("queue", "set_aside")}  # noqa: S608
_FIRST_SIZE = {"queue": f"(SELECT max({_SIZE}, 1) FROM queue WHERE id > 0 ORDER BY id LIMIT 1)", "set_aside": "1"}  # noqa: S608
_COUNT = {
    name: f"SELECT coalesce({newest} - (SELECT min(id) FROM {name} WHERE id > 0) + {_FIRST_SIZE[name]}, 0)"  # noqa: S608
    for name, newest in _NEWEST.items()
}
_TRIM = {name: f"DELETE FROM {name} WHERE id <= {newest} - ?" for name, newest in _NEWEST.items()}  # noqa: S608
_OF_LOST = {name: f"CASE typeof({name}) WHEN 'integer' THEN max({name}, 0) ELSE 0 END" for name in _NEWEST}
_LOST = f"SELECT {', '.join(_OF_LOST.values())} FROM lost"  # noqa: S608
_ADD_LOST = {name: f"UPDATE lost SET {name} = {number} + ?" for name, number in _OF_LOST.items()}  # noqa: S608
_COUNT_ONE_BY_ONE = {
    "queue": f"SELECT coalesce(sum(max({_SIZE}, 1)), 0) FROM queue",  # noqa: S608
    "set_aside": "SELECT count(*) FROM set_aside",
}
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

    def append(self, points: Iterable[Point | Block]) -> None:
        """Add points; they are durable when this returns. One that no file can hold is set aside as a text."""
        rows, odd = list[tuple[bytes, int]](), list[tuple[bytes, str]]()
        for point in points:
            if not isinstance(point, Point):
                rows.append((_BLOCK + point.packed(), len(point)))
                continue
            try:
                rows.append((msgspec.msgpack.encode(point), 1))
            except (OverflowError, TypeError, ValueError) as error:
                odd.append((_text(point), f"the spool cannot hold it: {error}"))
        with self._writing() as db:
            _insert(db, rows)
            over = _trim(db, "queue", self._max, sum(size for _, size in rows))
            db.executemany("INSERT INTO set_aside (point, reason) VALUES (?, ?)", odd)
            _trim(db, "set_aside", self._max, len(odd))
        if over:
            log.error(
                "The spool %s is full (%d points): the oldest %d were dropped. Is the sink reachable?",
                self.path,
                self._max,
                over,
            )
        for _, reason in odd:
            log.error("A point was set aside: %s", reason)

    def rows(self, n: int, after: int = 0) -> list[tuple[range, Point | Block]]:
        """Points and blocks that hold the oldest ``n`` points with ids beyond ``after``; they stay until :meth:`drop`.

        Those that cannot be decoded are set aside.

        Returns:
            Of each its ids and what it is.
        """
        before = set[int]()
        while True:
            with self._reading() as db:
                rows = _oldest(db, n, after)
            parts, odd = list[tuple[range, Point | Block]](), list[int]()
            for number, blob, size in rows:
                part = part_of(blob)
                if part is not None and size == (1 if isinstance(part, Point) else len(part)) > 0:
                    parts.append((range(number - size + 1, number + 1), part))
                else:
                    odd.append(number)
            for number in odd:
                log.error("Row %d of the spool %s cannot be decoded and was set aside", number, self.path)
                self._set_aside(number, "the spool cannot decode it")
            if parts or not rows:
                return parts
            if not odd or not before.isdisjoint(odd):  # nothing has gone: it would be so for ever
                with sentences(self.path, "read", _SETTING):
                    raise damaged("its rows are not in order")
            before.update(odd)

    def read(self, n: int, after: int = 0) -> list[tuple[int, Point]]:
        """The oldest ``n`` points with ids beyond ``after``, one by one, and the ids; see :meth:`rows`."""
        points = [found for ids, part in self.rows(n, after) for found in zip(ids, Points([part]), strict=True)]
        return [(number, point) for number, point in points if number > after][:n]

    def drop(self, ids: Sequence[int]) -> None:
        """Forget points that the sink has taken."""
        with self._writing() as db:
            _split(db, {*ids})
            _delete(db, ids)

    def set_aside(self, number: int, reason: str) -> None:
        """Move a point that the sink will never take out of the way, with the reason, for people to look at."""
        with self._writing() as db:
            _split(db, {number})
        self._set_aside(number, reason)

    def _set_aside(self, number: int, reason: str) -> None:
        with self._writing() as db:
            moved = f"INSERT INTO set_aside (point, reason) SELECT {_BYTES}, ? FROM queue WHERE id = ?"  # noqa: S608
            db.execute(moved, (reason, number))
            _delete(db, [number])
            _trim(db, "set_aside", self._max, 1)

    def aside(self) -> Iterator[tuple[Point | None, str]]:
        """What is set aside with its reasons, oldest first; None is a point that cannot be decoded."""
        last, reason = -_INT64_MAX, "coalesce(CAST(reason AS BLOB), x'')"
        page = f"SELECT id, {_BYTES}, {reason} FROM set_aside WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
        while True:
            with self._reading() as db:
                rows = db.execute(page, (last, _PAGE)).fetchall()
                if rows and rows[-1][0] <= last:
                    raise damaged("its rows are not in order")
            if not rows:
                return
            last = rows[-1][0]
            yield from ((decoded(blob), why.decode(errors="replace")) for _, blob, why in rows)

    def put_back(self) -> int:
        """Put everything that is set aside at the end of the queue, durably; how many points these are.

        Raises:
            SinkError: the queue has no room for them; they stay where they are.
        """
        with self._writing() as db:
            waiting, back = _count(db, "queue"), _count(db, "set_aside")
            if waiting + back > self._max:
                raise SinkError(
                    f"{self.path} has no room for {back:,} points that are set aside, {waiting:,} of {self._max:,} "
                    "wait already: let the sink take some first, or raise sink.spool_max_points"
                )
            db.execute(f"INSERT INTO queue (point) SELECT {_BYTES} FROM set_aside ORDER BY id")  # noqa: S608
            db.execute("DELETE FROM set_aside")
        return back

    def __len__(self) -> int:
        with self._reading() as db:
            return _count(db, "queue")

    @property
    def kept_aside(self) -> int:
        """Points that are set aside now."""
        with self._reading() as db:
            return _count(db, "set_aside")

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
            queue, aside = db.execute(_LOST).fetchone() or (0, 0)
        return queue, aside

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "read", _SETTING):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "written", _SETTING), transaction(self._db):
            yield self._db


def part_of(blob: bytes) -> Point | WindowBlock | None:
    """The point or the block of a row of the file; None where the bytes are none."""
    if blob[:1] != _BLOCK:
        return decoded(blob)
    try:
        return WindowBlock.unpacked(blob[1:])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _insert(db: sqlite3.Connection, rows: Sequence[tuple[bytes, int]]) -> None:
    """Rows at the end of the queue, each with how many points it holds: their ids follow those that were ever there."""
    last = db.execute(f"SELECT coalesce(({_SEQUENCE}'queue'), 0)").fetchone()[0]
    if not isinstance(last, int) or not 0 <= last <= _INT64_MAX // 2:
        raise damaged("the last id that was given out is none")
    ids = accumulate((size for _, size in rows), initial=last)
    next(ids)
    db.executemany(
        "INSERT INTO queue (id, point, points) VALUES (?, ?, ?)",
        [(number, blob, size) for number, (blob, size) in zip(ids, rows, strict=True)],
    )


def _oldest(db: sqlite3.Connection, n: int, after: int) -> list[tuple[int, bytes, int]]:
    """Rows that hold the oldest n points with ids beyond ``after``; with 0 those too whose ids cannot be."""
    rows, found = list[tuple[int, bytes, int]](), 0
    first = min(after, _INT64_MAX) if after > 0 else -_INT64_MAX
    for number, blob, size in db.execute(f"{_ROW} WHERE id > ? ORDER BY id", (first,)):
        rows.append((number, blob, size))
        found += max(min(size, number - after), 1)
        if found >= n:
            break
    return rows


def _split(db: sqlite3.Connection, ids: set[int]) -> None:
    """Let each point have a row of its own, in blocks of which some are among ``ids`` and some are not."""
    if not ids:
        return
    # The last block that may hold one of them is the first row that ends with the last of them or behind it.
    last = "coalesce((SELECT min(id) FROM queue WHERE id >= ?2), ?2)"
    around = f"SELECT id, {_SIZE} FROM queue WHERE {_SIZE} > 1 AND id BETWEEN ?1 AND {last} ORDER BY id"  # noqa: S608
    for number, size in db.execute(around, (min(ids), max(ids))).fetchall():
        own = range(number - size + 1, number + 1)
        if ids.isdisjoint(own) or ids.issuperset(own):
            continue
        block = part_of(db.execute(f"SELECT {_BYTES} FROM queue WHERE id = ?", (number,)).fetchone()[0])  # noqa: S608
        if isinstance(block, WindowBlock) and len(block) == size:  # another one is set aside when it is read
            db.execute("DELETE FROM queue WHERE id = ?", (number,))
            rows = [(i, msgspec.msgpack.encode(point)) for i, point in zip(own, block.points(), strict=True)]
            db.executemany("INSERT INTO queue (id, point) VALUES (?, ?)", rows)


def _delete(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete rows. Those that are gone already may be: the workers of one folder share it, and it has a bound."""
    if not ids:
        return
    wanted, newest = {*ids}, max(ids)
    there = db.execute("SELECT id FROM queue WHERE id BETWEEN ? AND ?", (min(ids), newest)).fetchall()
    db.executemany("DELETE FROM queue WHERE id = ?", [row for row in there if row[0] in wanted])
    for (number,) in db.execute("SELECT id FROM queue ORDER BY id LIMIT ?", (len(ids) + _PAGE,)):
        if number in wanted:  # read, and not found: it would be read for ever
            raise damaged("its rows are not in order")
        if number > newest:
            return


def decoded(blob: bytes) -> Point | None:
    """A point of the file; None where the bytes are none."""
    try:
        return _DECODER.decode(blob)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


def _count(db: sqlite3.Connection, table: str) -> int:
    """Points in a table, by their ids."""
    return max(int(db.execute(_COUNT[table]).fetchone()[0]), 0)


def _trim(db: sqlite3.Connection, table: str, most: int, added: int) -> int:
    """Delete the oldest rows beyond ``most``, count them, and say how many these were.

    Where more are too many than were added, either the bound has become smaller or ids were given out that make no
    sense; these cost no point.
    """
    before = _count(db, table)
    if before <= most or (before - most > added and db.execute(_COUNT_ONE_BY_ONE[table]).fetchone()[0] <= most):
        return 0
    db.execute(_TRIM[table], (most,))
    over = before - _count(db, table)
    if over > 0:
        db.execute(_ADD_LOST[table], (over,))
    return max(over, 0)


def _text(point: Point) -> bytes:
    try:
        return ascii(point).encode()
    except ValueError:  # a number with thousands of digits
        return ascii((point.measurement, point.tags)).encode()
