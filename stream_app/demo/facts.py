"""What is known of the running demo: read from the worker's status and decisions and from the embedded store."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from stream_app.config import Config
from stream_app.disk import read_lines
from stream_app.errors import DriftflowError
from stream_app.incident_lines import is_over, newest
from stream_app.stages.decisions import DECODER, REMEDY, activations_of
from stream_app.worker.status import read_status

SHOWN_SPAN = "28d"

_ANEW = "remove the folder of the demo, and run it again"
_STRANGE = msgspec.json.Decoder(StrangeEvents)
_MESSAGES: dict[str, msgspec.json.Decoder[Any]] = {
    "0": msgspec.json.Decoder(Incident),
    "1": msgspec.json.Decoder(SilencedIncident),
}


@dataclass(slots=True)
class Facts:
    """A picture of the run, taken anew by :meth:`refresh`.

    Attributes:
        status: the workers' status; empty before the first.
        messages: every message of an incident, oldest first.
        strange: every message about single strange events, oldest first.
        models, retrains: points of the store as flat dicts, oldest first.
        slices: the newest window of each slice.
        event_time_ms: end of the newest pane in the store.
        settled: number of events whose every consequence is in the store; None while some is on its way.
        first_score_at: wall clock of the first scored event; a worker that was restarted only knows its own.
    """

    config: Config
    status: dict[str, Any] = field(default_factory=dict)
    messages: list[Incident] = field(default_factory=list)
    strange: list[StrangeEvents] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    retrains: list[dict[str, Any]] = field(default_factory=list)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    event_time_ms: int = 0
    settled: int | None = None
    first_score_at: float | None = None
    _rates: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=12))

    @property
    def received(self) -> int:
        """Events fetched so far."""
        return int(self.status.get("received", 0))

    @property
    def events_per_s(self) -> float:
        """Rate over the last seconds."""
        if len(self._rates) < 2:
            return 0.0
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        return (n1 - n0) / max(t1 - t0, 1e-9)

    @property
    def moving(self) -> tuple[Any, ...]:
        """Changes whenever the run makes progress."""
        names = ("received", "lag", "pending", "unwatched", "service")
        return *(self.status.get(name) for name in names), self._spooled(), len(self.models), len(self.retrains)

    def refresh(self) -> None:
        """Read status and store."""
        self.status = read_status(self.config)
        if self.status:
            self.first_score_at = self.first_score_at or self.status["first_score_at"]
            self._rates.append((self.status["at"], self.received))
        settled = self.received if self._is_settled() else None  # before the store is read: it holds all of it then
        store = self.config.path(self.config.sink.path)
        if store.exists():
            try:
                with readable(store):
                    self._read(f"file:{store}?mode=ro")
            except sqlite3.OperationalError:
                return  # being made right now: the next refresh will see it
            self.settled = settled

    def _is_settled(self) -> bool:
        """Nothing is on its way to the store: no record unread, no partial, no work that is not durable, no point."""
        unread = self.status.get("unread", {})
        at_rest = all(self.status.get(name) == 0 for name in ("lag", "unwatched", "pending"))
        everywhere = set(unread.values()) == {0} and len(unread) == self.config.topics.partitions
        return at_rest and everywhere and self._spooled() == 0

    def _spooled(self) -> int | None:
        """Rows of points that wait for the store; None before there is a spool."""
        path = self.config.path(self.config.sink.spool)
        if not path.exists():
            return None
        link = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)
        try:
            return int(link.execute("SELECT count(*) FROM queue").fetchone()[0])
        except sqlite3.OperationalError:
            return None  # being made right now
        except sqlite3.Error as error:
            raise DriftflowError(f"{path} cannot be read: {error}; {_ANEW}") from error
        finally:
            link.close()

    def _read(self, uri: str) -> None:
        link = sqlite3.connect(uri, uri=True, timeout=2.0)
        try:
            self.messages = [_message(row) for row in points(link, "incidents")]
            self.strange = [_STRANGE.decode(row["record"]) for row in points(link, "strange_events")]
            self.models = points(link, "models")
            self.retrains = points(link, "retrains")
            newest = link.execute("SELECT max(time_ms) FROM windows").fetchone()[0]
            if isinstance(newest, int):
                self.event_time_ms = newest
                rows = points(link, "windows", newest)
                self.slices = {row["slice"]: row for row in rows if row["span"] == SHOWN_SPAN} or self.slices
        finally:
            link.close()

    def lasting(self, least_ms: int) -> list[Incident]:
        """Open incidents about drift that have been open for so long, oldest first."""
        known = sorted(newest(self.messages).values(), key=lambda incident: (incident.opened_pane_ms, incident.id))
        drifts = [incident for incident in known if incident.kind == "drift" and not is_over(incident)]
        return [incident for incident in drifts if incident.opened_pane_ms + least_ms <= self.event_time_ms]

    def waiting(self) -> set[str]:
        """Models that wait for a person."""
        last = {model["model_id"]: model["status"] for model in self.models}
        return {model_id for model_id, status in last.items() if status == "waiting"}

    def out_of_service(self, model_id: str) -> list[int]:
        """Source partitions on which a model has not been put in service."""
        decisions = read_lines(self.config.path(self.config.state.dir) / "decisions.jsonl", DECODER, REMEDY)
        activations = {p: activations_of(decisions, p) for p in range(self.config.topics.partitions)}
        return [p for p, of_partition in activations.items() if not of_partition or of_partition[-1][1] != model_id]


@contextmanager
def readable(store: Path) -> Iterator[None]:
    """Put around what is read of the store.

    Raises:
        DriftflowError: it is damaged.
        sqlite3.OperationalError: it is being made.
    """
    try:
        yield
    except sqlite3.OperationalError:
        raise
    except (sqlite3.Error, msgspec.MsgspecError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise DriftflowError(f"{store} is damaged ({type(error).__name__}: {error}); {_ANEW}") from error


def _message(row: dict[str, Any]) -> Incident:
    message: Incident = _MESSAGES[row["silenced"]].decode(row["record"])
    return message


def points(link: sqlite3.Connection, measurement: str, time_ms: int | None = None) -> list[dict[str, Any]]:
    """Points of a measurement as flat dicts, oldest first; within :func:`readable`."""
    where, values = ("AND time_ms = ?", [time_ms]) if time_ms else ("", [])
    sql = f"SELECT time_ms, tags, fields FROM points WHERE measurement = ? {where} ORDER BY time_ms"  # noqa: S608
    found = []
    for end_ms, tags, fields in link.execute(sql, [measurement, *values]):
        if not isinstance(end_ms, int):
            raise TypeError(f"a time of {measurement} is no whole number")
        found.append({"time_ms": end_ms, **json.loads(tags), **json.loads(fields)})
    return found
