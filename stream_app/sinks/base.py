"""What a sink is: points in, written durably or refused with a reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from stream_app.errors import SinkError
from stream_app.stages.outputs import Point


class Rejected(SinkError):
    """The server understood the batch and will never take it as it is: at least one point in it is bad."""


@contextmanager
def opening(path: Path, setting: str) -> Iterator[None]:
    """Put around the opening of an SQLite file.

    Raises:
        SinkError: in place of any error of SQLite or of the operating system; it names the file and its setting.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (sqlite3.Error, OSError) as error:
        raise SinkError(
            f"{path} cannot be opened as a database: {error}; move that file away, or name another {setting}"
        ) from error


@runtime_checkable
class Sink(Protocol):
    """Where points go. Writing a point twice is harmless: same series and time, the last write wins.

    :func:`stream_app.sinks.checks.check_sink` holds a sink to it.
    """

    def write(self, batch: Sequence[Point]) -> None:
        """Write the batch durably.

        Raises:
            Rejected: some point of it is bad; the others may or may not have been stored.
            SinkError, OSError: not now; nothing may be given up.
        """

    def close(self) -> None:
        """Release files and connections. Nothing is written afterwards."""
