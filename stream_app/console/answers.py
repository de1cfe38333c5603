"""What the page shows, composed from the embedded store. Read-only; the store may be written meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stream_app.config import Config
from stream_app.console import picture
from stream_app.console.detail import detail_of
from stream_app.console.overview import failing, overview_of
from stream_app.console.queries import Points, open_store
from stream_app.console.rows import Row
from stream_app.errors import DriftflowError

SLICES_MAX = 120
"""Slices that are sent at once, the worst first; the others are found by name."""

_REST = 9
"""An overview that took s seconds to make is good for 9 s: pages cost at most a tenth of one core."""

T = TypeVar("T")


class NotReadableError(DriftflowError):
    """The store says nothing now; the message says why. Worth asking again."""


class Store:
    """The store of one stream.

    Args:
        path: the SQLite file; it need not exist yet.
        stream: the stream's name; one file may hold several.
    """

    def __init__(self, path: Path, stream: str) -> None:
        self.path, self.stream = path, stream
        self._lock = threading.Lock()
        self._cached: Row | None = None
        self._cached_version, self._cached_until = "", 0.0

    @classmethod
    def of(cls, config: Config) -> Store:
        """The store that a configuration names.

        Raises:
            DriftflowError: its sink is not the embedded one.
        """
        if config.sink.kind != "sqlite":
            raise DriftflowError(
                f'the console reads the embedded store, but sink.kind is "{config.sink.kind}": use Grafana '
                '(infra/grafana), or run a second worker with sink.kind = "sqlite" (infra/docker/console.toml)'
            )
        return cls(config.path(config.sink.path), config.stream)

    def overview(self, find: str = "") -> tuple[str, Row | None]:
        """Incidents, slices with their state, counters and models, and which version of the store this is.

        Args:
            find: part of the name of the slices to list.

        Returns:
            The row is None while the store holds no window and no incident of this stream.

        Raises:
            NotReadableError: there is no store yet, or it is locked or no store at all.
        """
        with self._lock:
            version, began = self._version(), time.monotonic()
            if self._cached is None or (version != self._cached_version and began >= self._cached_until):
                self._cached = self._ask(overview_of)
                self._cached_version = version
                self._cached_until = time.monotonic() + _REST * (time.monotonic() - began)
            return self._cached_version, self._cached and _matching(self._cached, find)

    def detail(self, slicing: str, name: str, span: str = "") -> Row | None:
        """Curves, calibration and incidents of one slice; None when there is no such slice.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return self._ask(lambda points: detail_of(points, slicing, name, span))

    def incident(self, incident_id: str) -> Row | None:
        """All about one incident; None when there is no such incident.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return self._ask(lambda points: picture.incident(points, incident_id))

    def state_of(self, record_id: str) -> str | None:
        """``open`` or ``over``: of an incident, or of strange events, which are over; None when nothing has that id.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return self._ask(lambda points: picture.state_of(points, record_id))

    def trouble(self) -> str:
        """What fails in a process, where there are no windows yet to show it beside.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return "; ".join(f"{row['part']}: {row['says']}" for row in self._ask(failing))

    def check(self) -> None:
        """Look whether the file can be a store at all; a missing one may still come into being.

        Raises:
            NotReadableError: the file is there, but may not be read or is no database.
        """
        try:
            self.overview()
        except NotReadableError as error:
            waits = isinstance(error.__cause__, sqlite3.OperationalError)  # missing or locked
            if not waits or self._fault():
                raise

    def written(self) -> tuple[float | None, int]:
        """When the store was written last, in seconds since the epoch (None where there is none), and its bytes."""
        stats = []
        for path in self._files():
            with contextlib.suppress(OSError):
                stats.append(path.stat())
        return max((stat.st_mtime for stat in stats if stat.st_size), default=None), sum(stat.st_size for stat in stats)

    def _files(self) -> tuple[Path, Path]:
        return self.path, self.path.with_name(self.path.name + "-wal")

    def _version(self) -> str:
        """Changes whenever the store does."""
        stamps = []
        for path in self._files():
            try:
                stat = path.stat()  # readers make a log of 0 bytes, and remove it
                stamps.append(f"{stat.st_ino:x}.{stat.st_mtime_ns:x}.{stat.st_size:x}" if stat.st_size else "0")
            except OSError:
                stamps.append("0")
        return "-".join(stamps)

    def _ask(self, question: Callable[[Points], T]) -> T:
        try:
            with open_store(self.path) as link:
                return question(Points(link, self.stream))
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last: an error of SQLite that is no text
            reason = f"cannot be read: {self._fault() or error}" if os.path.lexists(self.path) else "does not exist yet"
            raise NotReadableError(f"{self.path} {reason}") from error

    def _fault(self) -> str:
        """Why the file can be no store; "" where it may be one, or may still come: SQLite says little of that."""
        try:
            with self.path.open("rb") as file:
                return "" if file.read(1) else "it is empty (0 bytes), what it held is lost: remove it to begin anew"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return (error.strerror or str(error)).lower()


def _matching(overview: Row, find: str) -> Row:
    """An overview with the slices that were looked for, as many as are shown at once."""
    part = unicodedata.normalize("NFC", find).casefold()  # as names are (schemas/names.py)
    rows = [row for row in overview["slices"] if part in row["slice"].casefold()]
    return {**overview, "slices": rows[:SLICES_MAX], "found": len(rows)}
