"""What the page shows, composed from the embedded store. Read-only; the store may be written meanwhile."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from flowlib.calibration import PIT_BINS
from flowlib.flatness import distance
from flowlib.table import DAY_MS, Ints
from schemas.pane_layout import ALPHAS
from stream_app.config import Config
from stream_app.console import shapes
from stream_app.console.queries import Points, open_store
from stream_app.console.rows import SHIFTS, Row, counted
from stream_app.errors import DriftflowError
from stream_app.stages.judge.policy import TOGETHER
from stream_app.stages.points import ALPHA_FIELDS
from stream_app.stages.score.intake import RULE

ALERTS_MAX = 500
MODELS_MAX = 50
SLICES_MAX = 120
"""Slices that are sent at once, the worst first; the others are found by name."""

FEATURE_DAYS = 7
"""Days that the histograms of the features are of, at most."""

_SHOWN_ALERTS = 60
_HEALTH_MAX = 50
_PIT_MAX = 10_000
_ACTIVATIONS_MAX = 2_000
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
        """Slices with their state, counters, models and the latest alerts, and which version of the store this is.

        Args:
            find: part of the name of the slices to list.

        Returns:
            The row is None while the store holds no window and no alert of this stream.

        Raises:
            NotReadableError: there is no store yet, or it is locked or no store at all.
        """
        with self._lock:
            version, began = self._version(), time.monotonic()
            if self._cached is None or (version != self._cached_version and began >= self._cached_until):
                self._cached = self._ask(_overview)
                self._cached_version = version
                self._cached_until = time.monotonic() + _REST * (time.monotonic() - began)
            return self._cached_version, self._cached and _matching(self._cached, find)

    def detail(self, slicing: str, name: str, span: str = "") -> Row | None:
        """Curves, calibration and incidents of one slice; None when there is no such slice.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return self._ask(lambda points: _detail(points, slicing, name, span))

    def trouble(self) -> str:
        """What fails in a process, where there are no windows yet to show it beside.

        Raises:
            NotReadableError: see :meth:`overview`.
        """
        return "; ".join(f"{row['part']}: {row['says']}" for row in self._ask(_failing))

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

    def _version(self) -> str:
        """Changes whenever the store does."""
        stamps = []
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
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
        except (sqlite3.Error, OSError) as error:
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


def _overview(points: Points) -> Row | None:
    windows, told = _last_windows(points), points.lasts("alerts")
    if not windows and not told:
        return None
    alerts = shapes.open_alerts(told)
    of_slice = shapes.by_slice(alerts)
    slices = [_slice(row, of_slice.get(key, [])) for key, row in windows.items()]
    activations = points.newest("activations", _ACTIVATIONS_MAX)
    return {
        "stream": points.stream,
        "time_ms": max(row["time_ms"] for row in windows.values() or told),
        "slices": sorted(slices, key=shapes.worst_first),
        "states": Counter(row["state"] for row in slices),
        "faulty": sum(any(alert["kind"] == "fault" for alert in row["alerts"]) for row in slices),
        "slicings": len({row["slicing"] for row in slices}),
        "together": [shapes.incident(alert) for alert in alerts if alert["slice"] == TOGETHER],
        "intake": [shapes.incident(alert) for alert in alerts if alert["rule"] == RULE],
        "counters": _counters(points),
        "open": Counter(alert["kind"] for alert in alerts),
        "alerts": _alerts(points, alerts),
        "opened": points.count("alerts", state="open"),
        "retrains": points.count("retrains"),
        "swaps": shapes.swap_count(activations),
        "models": points.newest("models", MODELS_MAX),
        "service": activations[-1]["model_id"] if activations else "",
        "features": _features(points),
        "health": _failing(points),
        "left_out": points.left_out,
    }


def _failing(points: Points) -> list[Row]:
    """What fails in a process now, the newest first: what only the processes know."""
    failing = [row for row in points.lasts("health") if row["state"] == "failing"]
    return [
        {name: row[name] for name in ("part", "says", "source", "time_ms")} for row in failing[: -_HEALTH_MAX - 1 : -1]
    ]


def _alerts(points: Points, still_open: list[Row]) -> list[Row]:
    """Those that are open, then those that ended last."""
    ended = [alert for alert in points.newest("alerts", ALERTS_MAX) if alert["state"] in shapes.OVER]
    return [shapes.incident(alert) for alert in [*still_open[:_SHOWN_ALERTS], *ended[: -_SHOWN_ALERTS - 1 : -1]]]


def _last_windows(points: Points) -> dict[tuple[str, str], Row]:
    """The newest window of the longest span of each slice."""
    last: dict[tuple[str, str], Row] = {}
    for row in points.lasts("windows"):
        key = (row["slicing"], row["slice"])
        if key not in last or shapes.span_ms(row["span"]) > shapes.span_ms(last[key]["span"]):
            last[key] = row
    return last


def _slice(row: Row, alerts: list[Row]) -> Row:
    return {
        "slicing": row["slicing"],
        "slice": row["slice"],
        "span": row["span"],
        "alerts": [{"kind": alert["kind"], "says": shapes.says(alert)} for alert in alerts],
        "state": shapes.worst(alert["kind"] for alert in alerts),
        "share": shapes.share(row, "p_le_01"),
        "scored": row.get("scored", 0),
        "shifts": [row.get(name) for name in SHIFTS],
    }


def _counters(points: Points) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in points.lasts("counters"):
        total.update({name: row[name] for name in counted(row)})
    return dict(total)


def _detail(points: Points, slicing: str, name: str, span: str) -> Row | None:
    spans, panes = points.spans(slicing, name), points.curve(slicing, name, "pane")
    if not spans or not panes:
        return None
    span = span if span in spans else spans[-1]
    window = points.last("windows", points.window_series(slicing, name, span))
    if window is None:  # damaged
        return None
    return {
        "slicing": slicing,
        "slice": name,
        "spans": spans,
        "span": span,
        "panes": {
            "t": [row["time_ms"] for row in panes],
            "log_prob": [row.get("log_prob_mean") for row in panes],
            "model_id": [row["model_id"] for row in panes],
        },
        "strange": _strange(points, slicing, name, spans[min(1, len(spans) - 1)]),
        "swaps": shapes.swaps(panes),
        "incidents": shapes.incidents(points.alerts(slicing, name, ALERTS_MAX)),
        "calibration": _calibration(window),
        "left_out": points.left_out,
    }


def _strange(points: Points, slicing: str, name: str, span: str) -> Row:
    rows = points.curve(slicing, name, span)
    return {"t": [row["time_ms"] for row in rows], "share": [shapes.share(r, "p_le_01") for r in rows], "span": span}


def _calibration(window: Row) -> Row:
    scored = window.get("scored", 0)
    return {
        "alpha": ALPHAS,
        "scored": scored,
        "share": [shapes.share(window, name) for name in ALPHA_FIELDS],
        "chance": [shapes.by_chance(alpha, scored) for alpha in ALPHAS] if scored else [],
    }


def _features(points: Points) -> Row:
    """PIT histograms of all slices together over the newest days of the newest model; what moved most comes first."""
    rows = shapes.newest_days(points.newest("pit", _PIT_MAX)[::-1], FEATURE_DAYS)
    counts: dict[str, Ints] = {}
    for row in rows:
        bins = np.array([row[f"h{b:02d}"] for b in range(PIT_BINS)], dtype=np.int64)
        counts[row["feature"]] = counts.get(row["feature"], 0) + bins
    moved = distance(np.stack(list(counts.values()))).tolist() if counts else []
    entries = [
        {"feature": feature, "moved": off, "counts": bins.tolist()}
        for (feature, bins), off in zip(counts.items(), moved, strict=True)
    ]
    return {
        "entries": sorted(entries, key=lambda entry: (-entry["moved"], entry["feature"])),
        "from_ms": min(((row["time_ms"] - 1) // DAY_MS * DAY_MS for row in rows), default=0),
    }
