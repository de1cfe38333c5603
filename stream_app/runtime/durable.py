"""Files that survive a crash: replaced as a whole, or grown by whole lines; on disk when a call returns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_durably(path: Path, blob: bytes) -> None:
    """Replace a file; a crash leaves the old one or the new one, never half of it."""
    beside = path.with_suffix(f"{path.suffix}.{os.getpid()}.new")
    with open(beside, "wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    _sync_folder(path)


def append_durably(path: Path, line: bytes) -> None:
    """Add a line, newline included, after the last whole one; it is on disk when this returns.

    A last line that a crash cut short is removed: it was never answered for, and what follows it could not be read.
    """
    with locked(path) as file:
        append_locked(file, path, line)


@contextmanager
def locked(path: Path, mode: int = 0o644) -> Iterator[int]:
    """A file, made with these rights where it is missing, that one process at a time reads and appends to."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def append_locked(file: int, path: Path, line: bytes) -> None:
    """:func:`append_durably` for a file that is locked already."""
    os.ftruncate(file, path.read_bytes().rfind(b"\n") + 1)
    with open(file, "ab", closefd=False) as log:  # all of it or OSError, where os.write may stop half-way
        log.write(line)
    os.fsync(file)
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    """A new name is on disk once its folder is."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
