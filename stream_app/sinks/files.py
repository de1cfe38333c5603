"""The SQLite files of this room: how they come into being, and how SQLite's errors become sentences."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.disk import create_durably
from stream_app.errors import SinkError

BUSY_S = 5.0
"""How long another program may hold a file before that is an error."""

_PAGE_BYTES = 16_384
"""Of a file that is made: rows lie one behind the other, and each page of SQLite's own 4,096 bytes takes some calls to
the system twice, in the log and in the file.
"""

_LOCKED = "another program has locked it: end that one, or wait until it is done"
_DAMAGED = "move that file away, its content is damaged, or name another {setting}"
_FORBIDDEN = "let driftflow write there, or name another {setting}"
_FULL = "make room on its disk"
_BROKEN = "look at the disk it is on: it may be full or broken"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _BROKEN,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: _DAMAGED,  # nothing that we write breaks one
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
}
_REMEDIES_OF_SYSTEM = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EIO: _BROKEN}
_REMEDY = "look at that file and at the disk it is on, or name another {setting}"


def damaged(what: str) -> sqlite3.DatabaseError:
    """For a file that holds what SQLite has nothing against and we have never written: raise it, and
    :func:`sentences` says it as it does what SQLite finds."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@contextmanager
def sentences(path: Path, done: str, setting: str) -> Iterator[None]:
    """Put around what is done with a file.

    Args:
        path: the file.
        done: what cannot be done to it where this fails: ``written``.
        setting: the setting that names it.

    Raises:
        SinkError: in place of any error of SQLite or of the operating system; it names the file and a remedy.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # in place of an error of SQLite that names what is damaged, byte by byte
        raise SinkError(f"{path} cannot be {done}: it is malformed; {_DAMAGED.format(setting=setting)}") from error
    except (sqlite3.Error, OSError) as error:
        remedy = _remedy(error).format(setting=setting)
        raise SinkError(f"{path} cannot be {done}: {error}; {remedy}") from error


def _remedy(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return _REMEDIES_OF_SYSTEM.get(error.errno or 0, _FORBIDDEN)
    code = getattr(error, "sqlite_errorcode", 0)  # sqlite3's own errors have none
    return _REMEDIES.get(code & 0xFF, _REMEDY)  # without the extension, on which no remedy depends


Upgrade = Callable[[sqlite3.Connection, Path, str, int], None]
"""Brings an open file to a layout, if it knows how to: the file, its path, the script of the layout and its number."""


def open_database(
    path: Path, setting: str, schema: str, version: int, synchronous: str, upgrade: Upgrade | None = None
) -> sqlite3.Connection:
    """Open a file in WAL mode, in autocommit, for any thread; a missing one is made, all of it at once.

    Args:
        path: the file.
        setting: the setting that names it.
        schema: script that makes its tables.
        version: number of that layout.
        synchronous: the pragma of that name.
        upgrade: for a file of another layout.

    Raises:
        SinkError: it is no database, of another layout, empty (what it held is lost), locked, or cannot be made.
    """
    with sentences(path, "opened as a database", setting):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # with all that belongs in it: one who is killed meanwhile leaves no empty file
            create_durably(path, _image(f"{schema}; PRAGMA user_version = {version}"))
        if not path.stat().st_size:
            raise SinkError(
                f"{path} is empty (0 bytes), what it held is lost: remove it to begin anew, or name another {setting}"
            )
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=BUSY_S)
        try:
            if upgrade is not None:
                upgrade(db, path, schema, version)
            _prepare(db, path, setting, version, synchronous)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection, path: Path, setting: str, version: int, synchronous: str) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found != version:
        raise SinkError(
            f"{path} was written by another version of driftflow (layout {found}, this one knows {version}): "
            f"name another {setting}"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA user_version = {version}")  # a write: a file that takes none is to be said at the start
    db.execute(f"PRAGMA synchronous = {synchronous}")


def _image(script: str) -> bytes:
    """The file of a new database."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.executescript(f"PRAGMA page_size = {_PAGE_BYTES}; {script}")
        return db.serialize()
    finally:
        db.close()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing where it raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have ended it already
            db.execute("ROLLBACK")
        raise
