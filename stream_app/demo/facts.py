"""What is known of the running demo: read from the worker's status and from the embedded store, read-only."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from stream_app.config import Config
from stream_app.worker.status import read_status

LIVE_MS = 196 * 86_400_000
"""1 September 2013 to 15 March 2014."""


@dataclass(slots=True)
class Facts:
    """A picture of the run, taken anew by :meth:`refresh`."""

    config: Config
    status: dict[str, Any] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    retrains: list[dict[str, Any]] = field(default_factory=list)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    event_time_ms: int = 0
    live_ms: int = LIVE_MS
    first_score_at: float | None = None
    """Kept here: a worker that was restarted only knows its own."""
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
    def awaited_ms(self) -> int | None:
        """Event time of the oldest retrain request that the trainer has still to answer.

        Requests that speak of a model replaced since need no answer.
        """
        promoted = [model["model_id"] for model in self.models if model["status"] == "promoted"]
        answered = {model["request_id"] for model in self.models}
        return min(
            (r["time_ms"] for r in self.retrains if r["id"] not in answered and r["model_id"] in promoted[-1:]),
            default=None,
        )

    def settled(self) -> bool:
        """True when nothing is on its way to the store any more."""
        if any(self.status.get(name, 1) != 0 for name in ("lag", "unwatched", "pending")):
            return False
        link = sqlite3.connect(f"file:{self.config.path(self.config.sink.spool)}?mode=ro", uri=True)
        try:
            return not link.execute("SELECT count(*) FROM queue").fetchone()[0]
        finally:
            link.close()

    def refresh(self) -> None:
        """Read status and store."""
        self.status = read_status(self.config)
        if self.status:
            self.first_score_at = self.first_score_at or self.status["first_score_at"]
            self._rates.append((self.status["at"], self.received))
        store = self.config.path(self.config.sink.path)
        if store.exists():
            try:
                self._read(f"file:{store}?mode=ro")
            except sqlite3.OperationalError:
                return  # being made right now: the next refresh will see it

    def _read(self, uri: str) -> None:
        link = sqlite3.connect(uri, uri=True, timeout=2.0)
        try:
            self.alerts = self.points(link, "alerts")
            self.models = self.points(link, "models")
            self.retrains = self.points(link, "retrains")
            newest = link.execute("SELECT max(time_ms) FROM points WHERE measurement='windows'").fetchone()[0]
            if newest:
                self.event_time_ms = newest
                rows = self.points(link, "windows", newest)
                self.slices = {r["slice"]: r for r in rows if r["span"] == "28d"} or self.slices
        finally:
            link.close()

    @staticmethod
    def points(link: sqlite3.Connection, measurement: str, time_ms: int | None = None) -> list[dict[str, Any]]:
        """Points of a measurement as flat dicts, oldest first."""
        where, values = ("AND time_ms = ?", [time_ms]) if time_ms else ("", [])
        sql = f"SELECT time_ms, tags, fields FROM points WHERE measurement = ? {where} ORDER BY time_ms"  # noqa: S608
        return [
            {"time_ms": at, **json.loads(tags), **json.loads(fields)}
            for at, tags, fields in link.execute(sql, [measurement, *values])
        ]
