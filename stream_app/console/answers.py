"""What the page shows, composed from the embedded store. Read-only; the store may be written meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from schemas.incidents import Incident
from stream_app.config import Config
from stream_app.console import arriving, listing, picture
from stream_app.console.asked import Incidents
from stream_app.console.detail import detail_of
from stream_app.console.fair import fair_of
from stream_app.console.kept import Kept
from stream_app.console.overview import failing, overview_of
from stream_app.console.queries import Points
from stream_app.console.roster import roster_of
from stream_app.console.rows import Row
from stream_app.console.watched import watched_of
from stream_app.errors import DriftflowError
from stream_app.sinks.reading import open_store

T = TypeVar("T")


class NotReadableError(DriftflowError):
    """The store says nothing now; the message says why. Worth asking again."""


class Store:
    """The store of one stream.

    Args:
        path: the SQLite file; it need not exist yet.
        stream: the stream's name; one file may hold several.
        config: the stream's configuration, where there is one: its registry knows more of models than the store.
    """

    def __init__(self, path: Path, stream: str, config: Config | None = None) -> None:
        self.path, self.stream, self._config = path, stream, config
        self._tolerated = arriving.TOLERATED if config is None else config.event.tolerated
        self._overview = self._kept(lambda points: overview_of(points, self._tolerated))
        self._watched = self._kept(lambda points: watched_of(points, self._config, self._tolerated))
        self._models = self._kept(lambda points: roster_of(points, self._config))
        self._fairness = self._kept(fair_of)

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
        return cls(config.path(config.sink.path), config.stream, config)

    def overview(self, live: Row | None = None) -> tuple[str, Row | None]:
        """Incidents, slices with their state, counters, the sentence above them, and which version of the store this
        is.

        Args:
            live: what the processes say of themselves (:class:`~stream_app.console.live.Live`).

        Returns:
            The row is None while the store holds no window, no incident and no report of events of this stream.

        Raises:
            NotReadableError: there is no store yet, or it is locked or no store at all.
        """
        version, whole = self._overview.get()
        return version, None if whole is None else whole.answer(live)

    def slices(self, find: str = "", page: int = 0) -> Row:
        """A page of the slices with a part in their names, the worst first; raises what :meth:`overview` raises."""
        _, whole = self._overview.get()
        return listing.slices(whole.slices if whole else [], find, page)

    def incidents(self, asked: Incidents) -> Row:
        """A page of the incidents that are meant; raises what :meth:`overview` raises."""
        _, whole = self._overview.get()
        verdicts = whole.page["verdicts"] if whole else {}
        return listing.incidents(whole.lines if whole else [], asked) | {
            "verdicts": verdicts,
            "time_ms": whole.page["time_ms"] if whole else 0,
        }

    def watched(self) -> Row:
        """What the store tells of the watcher itself; raises what :meth:`overview` raises."""
        written_s, size = self.written()
        return self._watched.get()[1] | {
            "written_ms": None if written_s is None else int(written_s * 1_000),
            "bytes": size,
        }

    def models(self) -> Row:
        """What was decided of models, and what may be said of them; raises what :meth:`overview` raises."""
        return self._models.get()[1]

    def fairness(self) -> Row:
        """Who is called strange more often than others; raises what :meth:`overview` raises."""
        return self._fairness.get()[1]

    def detail(self, slicing: str, name: str, span: str = "") -> Row | None:
        """Curves, calibration and incidents of one slice; None when there is no such slice.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        _, whole = self._overview.get()
        windows = whole.windows if whole else 1
        return self._ask(lambda points: detail_of(points, slicing, name, span, windows))

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

    def last_message(self, incident_id: str) -> tuple[Incident, int]:
        """The last message of an open incident, and how far the stream has come, event time.

        Raises:
            NotReadableError: see :meth:`overview`.
            LookupError: there is no such incident.
        """
        record: Incident = self._ask(lambda points: points.thread(incident_id))[-1]["record"]
        _, whole = self._overview.get()
        return record, whole.page["time_ms"] if whole else record.pane_end_ms

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

    def _kept(self, question: Callable[[Points], T]) -> Kept[T]:
        return Kept(lambda: self._ask(question), self._version)

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
