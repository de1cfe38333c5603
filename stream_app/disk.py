"""Durable files, replaced as a whole or appended to by whole lines; and whether a result can be written at all."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_app.errors import DriftflowError

T = TypeVar("T")

LEFTOVER = "*.new"
"""Names of files that are being written; a process that is killed leaves them."""

LEFTOVER_S = 86_400.0
"""Age in seconds from which on nobody is writing such a file any more."""


def write_durably(path: Path, blob: bytes, mode: int | None = None) -> None:
    """Replace a file; a crash or a full disk leaves the old one or the new one, never half of it. Its rights are
    ``mode`` whatever the umask says, or what the umask says.

    Raises:
        DriftflowError: it cannot be written; nothing new is left beside it.
    """
    with writing(path):
        with _beside(path, blob, mode) as beside:
            os.replace(beside, path)
        _sync_folder(path)


def append_durably(path: Path, line: bytes) -> None:
    """Add a line, newline included, after the last whole one; it is on disk when this returns.

    A last line that a crash cut short is removed first: nothing has followed from it. A new file appears with its first
    line in it, so that one without a whole line is always a damaged one.

    Raises:
        DriftflowError: it cannot be written; the file is as it was before.
    """
    with writing(path):
        if path.exists() or not create_durably(path, line):
            with locked(path) as file:
                append_locked(file, path, line)


def create_durably(path: Path, blob: bytes, mode: int | None = None) -> bool:
    """Make a file with all that belongs in it, and rights as in :func:`write_durably`; False where there is one by now.

    Raises:
        OSError: it cannot be written; nothing new is left.
    """
    try:
        with _beside(path, blob, mode) as beside:
            try:
                os.link(beside, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                _write_new(path, blob, mode)
    except FileExistsError:
        return False
    _sync_folder(path)
    return True


@contextmanager
def _beside(path: Path, blob: bytes, mode: int | None) -> Iterator[Path]:
    """The bytes on disk under a name that nobody else uses; gone after the block unless it was renamed there."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")  # every container has a process 1
    _write_new(beside, blob, mode)
    try:
        yield beside
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _write_new(path: Path, blob: bytes, mode: int | None) -> None:
    """A file that was not there, on disk when this returns; nothing is left of it where it cannot be written."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with open(number, "wb") as file:
            if mode is not None:
                os.fchmod(number, mode)
            file.write(blob)
            file.flush()
            os.fsync(number)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def remove_old(folder: Path, pattern: str, before_s: float) -> None:
    """Remove the files of a folder that were last written before a time, in seconds since the epoch.

    What cannot be removed stays: that it is there does no harm.
    """
    for path in folder.glob(pattern):
        with suppress(OSError):
            if path.stat().st_mtime < before_s:
                path.unlink()


@contextmanager
def locked(path: Path, mode: int = 0o644) -> Iterator[int]:
    """A file, made with these rights where it is missing, that one process at a time reads and appends to."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


@contextmanager
def sole(path: Path, refusal: Callable[[str], str]) -> Iterator[None]:
    """Hold a file, made where it is missing, until the block ends, or the process does, however it ends.

    Args:
        path: the file.
        refusal: makes the sentence where another process holds it; takes what that says of itself.

    Raises:
        DriftflowError: another process holds it; or the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with writing(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 1_000).decode("utf-8", "replace").strip() or "it does not say who"
                raise DriftflowError(refusal(holder)) from None
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(file)


def append_locked(file: int, path: Path, line: bytes) -> None:
    """:func:`append_durably` for a file that is locked already; raises OSError."""
    size = path.read_bytes().rfind(b"\n") + 1
    os.ftruncate(file, size)
    try:
        with open(file, "ab", closefd=False) as log:  # all of it or OSError, where os.write may stop half-way
            log.write(line)
        os.fsync(file)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise
    _sync_folder(path)


def read_lines(path: Path, decoder: msgspec.json.Decoder[T], remedy: str) -> list[T]:
    """The records of a file of JSON lines, oldest first; none where there is no file.

    A last line that a crash cut short is left out: nothing has followed from it.

    Raises:
        DriftflowError: the file cannot be read, has no whole line, or one that is damaged; ``remedy`` says what to do.
    """
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DriftflowError(f"{path} cannot be read, {_reason(error)}: {remedy}") from error
    if not lines:  # append_durably makes a file with its first line in it
        raise DriftflowError(f"{path} is empty or cut short within its first line: {remedy}")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DriftflowError(f"{path}, line {number} is damaged ({error}): {remedy}") from error
    return records


def _sync_folder(path: Path) -> None:
    """A new name is on disk once its folder is."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_writable(path: Path) -> None:
    """Check, before minutes of work, that its result can be written.

    Raises:
        DriftflowError: there is no such folder, or files may not be made in it.
    """
    folder = path.parent
    if not folder.is_dir():
        raise DriftflowError(f"{path} cannot be written, there is no folder {folder}: make it, or name another")
    if path.is_dir():
        raise DriftflowError(f"{path} cannot be written, it is a folder: name a file in it")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise DriftflowError(f"{path} cannot be written, permission is denied: change that, or name another place")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Put around the writing of a file: an error of the operating system becomes a sentence.

    Raises:
        DriftflowError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise DriftflowError(f"{path} cannot be written, {_reason(error)}: mend that, or name another place") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
