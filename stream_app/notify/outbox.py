"""The durable queue between the signals topic and the channels, and what a channel has to remember of each thread.

A message is in the file before its offset is committed, and leaves the queue once its channel has taken it. A message
that is read again has the same key, and is there once; one that was delivered and not yet noted when the process ended
is delivered again, with the same key.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream_app.notify.notices import Notice
from stream_app.sinks.files import open_database, sentences, transaction

log = logging.getLogger(__name__)

SETTING = "notify.spool"

_VERSION = 1
_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, key TEXT NOT NULL, notice BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT '', UNIQUE (channel, key)
);
CREATE INDEX keys ON messages (key);
CREATE INDEX queue ON messages (channel, state, id);
CREATE TABLE threads (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, thread TEXT NOT NULL, ref TEXT NOT NULL DEFAULT '',
    UNIQUE (channel, thread)
);
CREATE TABLE lost (messages INTEGER NOT NULL);
INSERT INTO lost VALUES (0);
"""
_DECODER = msgspec.msgpack.Decoder(Notice)
_WAITING = "SELECT id, CAST(notice AS BLOB) FROM messages WHERE channel = ? AND state = 'waiting' ORDER BY id LIMIT 1"


@dataclass(frozen=True, slots=True)
class Row:
    """A message that waits: its place in the queue, and itself."""

    number: int
    notice: Notice


@dataclass(frozen=True, slots=True)
class Aside:
    """A message that its channel has refused for good: which, what it said, and why it was refused."""

    channel: str
    title: str
    reason: str


class Outbox:
    """A queue for each channel in an SQLite file (WAL, ``synchronous=FULL``: an append is on disk when it returns).

    Args:
        path: the file; made when missing.
        most: messages that may wait for a channel. Above it the oldest go, are counted in :attr:`lost` and said; of
            what was delivered, of what was refused, and of threads as many are kept.

    Raises:
        SinkError: by every method: the file is full, locked, damaged or cannot be opened. What failed has had no
            effect.
    """

    def __init__(self, path: Path, most: int) -> None:
        self.path, self._most = path, most
        self._lock = threading.Lock()
        self._db = open_database(path, SETTING, _SCHEMA, _VERSION, "FULL")
        with self._writing() as db:  # a file of an earlier version has none
            db.execute("CREATE TABLE IF NOT EXISTS causes (id INTEGER PRIMARY KEY, known BLOB NOT NULL)")

    def append(self, messages: Sequence[tuple[str, Notice]], causes: bytes | None = None) -> None:
        """Add messages, each for a channel; they are durable when this returns. One that is there is not added.

        Args:
            messages: in order.
            causes: what :meth:`causes` is to be from now on; None where that stays.
        """
        rows = [(channel, one.key, msgspec.msgpack.encode(one)) for channel, one in messages]
        threads = [(channel, one.thread) for channel, one in messages]
        with self._writing() as db:
            db.executemany("INSERT OR IGNORE INTO messages (channel, key, notice) VALUES (?, ?, ?)", rows)
            db.executemany("INSERT OR IGNORE INTO threads (channel, thread) VALUES (?, ?)", threads)
            if causes is not None:
                db.execute("INSERT OR REPLACE INTO causes (id, known) VALUES (1, ?)", (causes,))
            over = {channel: self._trim(db, channel) for channel in {channel for channel, _ in messages}}
        for channel, n in over.items():
            if n:
                log.error("%s has %d messages waiting: the oldest %d were given up", channel, self._most, n)

    def causes(self) -> bytes:
        """Which faults were open when the last message was added (:class:`~stream_app.notify.causes.Causes`)."""
        with self._reading() as db:
            row = db.execute("SELECT known FROM causes").fetchone()
        return bytes(row[0]) if row else b""

    def _trim(self, db: sqlite3.Connection, channel: str) -> int:
        """Forget what there is too much of; how many messages that waited are given up."""
        beyond = "SELECT id FROM messages WHERE channel = ? AND state = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
        for state in ("done", "aside"):
            db.execute(f"DELETE FROM messages WHERE id IN ({beyond})", (channel, state, self._most))  # noqa: S608
        old = "SELECT id FROM threads WHERE channel = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
        db.execute(f"DELETE FROM threads WHERE id IN ({old})", (channel, self._most))  # noqa: S608
        gone = db.execute(f"DELETE FROM messages WHERE id IN ({beyond})", (channel, "waiting", self._most))  # noqa: S608
        db.execute("UPDATE lost SET messages = messages + ?", (gone.rowcount,))
        return gone.rowcount

    def next(self, channel: str) -> Row | None:
        """The oldest message that waits for a channel; it stays until it is settled. One that cannot be decoded is set
        aside.
        """
        while True:
            with self._reading() as db:
                found = db.execute(_WAITING, (channel,)).fetchone()
            if found is None:
                return None
            try:
                return Row(found[0], _DECODER.decode(found[1]))
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
                log.error("Message %d of %s cannot be decoded and was set aside", found[0], self.path)
                self.set_aside(found[0], "it cannot be decoded")

    def ref(self, channel: str, thread: str) -> str:
        """What a channel remembers of a thread, "" where nothing."""
        with self._reading() as db:
            row = db.execute("SELECT ref FROM threads WHERE channel = ? AND thread = ?", (channel, thread)).fetchone()
        return str(row[0]) if row else ""

    def refs(self, channel: str) -> dict[str, str]:
        """What it remembers of all threads of which it remembers anything."""
        with self._reading() as db:
            rows = db.execute("SELECT thread, ref FROM threads WHERE channel = ? AND ref != ''", (channel,)).fetchall()
        return dict(rows)

    def knows(self, channel: str, thread: str) -> bool:
        """Whether a message of a thread was ever there for a channel."""
        with self._reading() as db:
            asked = "SELECT 1 FROM threads WHERE channel = ? AND thread = ?"
            return db.execute(asked, (channel, thread)).fetchone() is not None

    def has(self, key: str) -> bool:
        """Whether this message was ever there for any channel."""
        with self._reading() as db:
            return db.execute("SELECT 1 FROM messages WHERE key = ?", (key,)).fetchone() is not None

    def settle(self, channel: str, row: Row, ref: str | None) -> None:
        """Note that a message was taken, and what the channel remembers of its thread from now on: None is nothing, and
        that there was such a thread is forgotten.
        """
        named = (channel, row.notice.thread)
        with self._writing() as db:
            db.execute("UPDATE messages SET state = 'done', notice = x'' WHERE id = ?", (row.number,))
            if ref is None:
                db.execute("DELETE FROM threads WHERE channel = ? AND thread = ?", named)
            else:
                db.execute("UPDATE threads SET ref = ? WHERE channel = ? AND thread = ?", (ref, *named))

    def set_aside(self, number: int, reason: str) -> None:
        """Take a message that was refused for good out of the queue, with the reason, for people to look at."""
        with self._writing() as db:
            db.execute("UPDATE messages SET state = 'aside', reason = ? WHERE id = ?", (reason, number))

    def waiting(self) -> dict[str, int]:
        """Channel to how many messages wait for it."""
        with self._reading() as db:
            counted = "SELECT channel, count(*) FROM messages WHERE state = 'waiting' GROUP BY channel ORDER BY channel"
            return dict(db.execute(counted).fetchall())

    def aside(self) -> list[Aside]:
        """What is set aside, oldest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT channel, notice, reason FROM messages WHERE state = 'aside' ORDER BY id"
            ).fetchall()
        return [Aside(channel, _title(blob), reason) for channel, blob, reason in rows]

    def put_back(self) -> int:
        """Let all that is set aside wait again, in its old place; how many messages these are."""
        with self._writing() as db:
            return db.execute("UPDATE messages SET state = 'waiting', reason = '' WHERE state = 'aside'").rowcount

    @property
    def lost(self) -> int:
        """Messages that were given up because too many waited, ever."""
        with self._reading() as db:
            return int(db.execute("SELECT messages FROM lost").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "read", SETTING):
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sentences(self.path, "written", SETTING), transaction(self._db):
            yield self._db


def _title(blob: bytes) -> str:
    try:
        return _DECODER.decode(blob).title
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return "(damaged)"
