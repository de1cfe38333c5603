"""What the page shows, composed from the embedded store. Read-only; the store may be written meanwhile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stream_app.console import shapes
from stream_app.console.queries import Points, open_store
from stream_app.console.shapes import PaneLog, Row
from stream_app.core.layout import ALPHAS, PIT_BINS
from stream_app.core.points import ALPHA_FIELDS

ALERTS_MAX = 2_000
MODELS_MAX = 50
_SHOWN_ALERTS = 60
_STRANGE = "p_le_01"

T = TypeVar("T")


class Store:
    """The store of one stream.

    Args:
        path: the SQLite file; it need not exist yet.
        stream: the stream's name; one file may hold several.
    """

    def __init__(self, path: Path, stream: str) -> None:
        self._path, self._stream = path, stream

    def version(self) -> str:
        """Changes whenever the store does: what the page compares before it asks for more."""
        stamps = []
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            try:
                stat = path.stat()
                stamps.append(f"{stat.st_mtime_ns:x}.{stat.st_size:x}")
            except FileNotFoundError:
                stamps.append("0")
        return "-".join(stamps)

    def overview(self) -> Row | None:
        """Slices with their state, counters, models and the latest alerts; None while there is nothing to show."""
        return self._ask(_overview)

    def detail(self, slicing: str, name: str, span: str = "") -> Row | None:
        """Curves, calibration and PIT histograms of one slice; None when there is no such slice."""
        return self._ask(lambda points: _detail(points, slicing, name, span))

    def alerts(self, limit: int = ALERTS_MAX) -> list[Row]:
        """The newest alerts, newest first."""
        return self._ask(lambda points: _alerts(points, limit)) or []

    def models(self) -> list[Row]:
        """The newest models, oldest first, with their gates."""
        return self._ask(_models) or []

    def _ask(self, question: Callable[[Points], T]) -> T | None:
        try:
            with open_store(self._path) as link:
                return question(Points(link, self._stream))
        except sqlite3.DatabaseError:  # no file or no table yet, or locked: the page asks again
            return None


def _overview(points: Points) -> Row | None:
    windows = _last_windows(points)
    if not windows:
        return None
    rules = shapes.open_rules(points.lasts("alerts"))
    activations = points.newest("activations", ALERTS_MAX)
    slices = [_slice(points, row, rules.get(key, {}), activations) for key, row in windows.items()]
    return {
        "stream": points.stream,
        "time_ms": max(row["time_ms"] for row in windows.values()),
        "slices": sorted(slices, key=shapes.worst_first),
        "counters": _counters(points),
        "alerts": _alerts(points, _SHOWN_ALERTS),
        "opened": points.count("alerts", state="open"),
        "retrains": points.count("retrains"),
        "swaps": shapes.takeovers(activations),
        "models": _models(points),
        "service": activations[-1]["model_id"] if activations else "",
    }


def _last_windows(points: Points) -> dict[tuple[str, str], Row]:
    """The newest window of the longest span of each slice."""
    last: dict[tuple[str, str], Row] = {}
    for row in points.lasts("windows", lambda series: ",span=pane," not in series):
        key = (row["slicing"], row["slice"])
        if key not in last or shapes.span_ms(row["span"]) > shapes.span_ms(last[key]["span"]):
            last[key] = row
    return last


def _slice(points: Points, row: Row, rules: dict[str, str], activations: list[Row]) -> Row:
    since = row["time_ms"] - shapes.span_ms(row["span"])
    young = any(a["time_ms"] > since and a["model_id"] == row["model_id"] for a in activations)
    log = points.panes(row["slicing"], row["slice"], since) if young else PaneLog()
    scored = log.scored(row)
    return {
        "slicing": row["slicing"], "slice": row["slice"], "state": shapes.worst(rules.values()), "rules": sorted(rules),
        "scored": scored, "share": shapes.share(row[_STRANGE], scored), "span": row["span"], "model_id": row["model_id"],
    }  # fmt: skip


def _counters(points: Points) -> dict[str, int]:
    total: dict[str, int] = {}
    for row in points.lasts("counters"):
        for name in row.keys() - {"time_ms", "partition", "stream"}:
            total[name] = total.get(name, 0) + int(row[name])
    return total


def _alerts(points: Points, limit: int) -> list[Row]:
    rows = points.newest("alerts", limit)[::-1]
    return [{**row, "kind": shapes.kind(row), "blame": json.loads(row["blame"])} for row in rows]


def _models(points: Points) -> list[Row]:
    return [{**row, "gates": json.loads(row["gates"])} for row in points.newest("models", MODELS_MAX)]


def _detail(points: Points, slicing: str, name: str, span: str) -> Row | None:
    spans, log = points.spans(slicing, name), points.panes(slicing, name)
    if not spans or not log.times:
        return None
    span = span if span in spans else spans[-1]
    window = points.last("windows", points.window_series(slicing, name, span))
    assert window is not None
    panes = points.curve(slicing, name, "pane")
    alerts = points.newest("alerts", ALERTS_MAX, slicing=slicing, slice=name)
    return {
        "slicing": slicing, "slice": name, "spans": spans, "span": span,
        "panes": {
            "t": [row["time_ms"] for row in panes],
            "log_prob": [row.get("log_prob_mean") for row in panes],
            "model_id": [row["model_id"] for row in panes],
        },
        "strange": _strange(points, slicing, name, spans[min(1, len(spans) - 1)], log),
        "swaps": log.swaps(),
        "incidents": shapes.incidents(alerts),
        "calibration": _calibration(window, log.scored(window)),
        "features": _features(points, slicing, name, span),
    }  # fmt: skip


def _strange(points: Points, slicing: str, name: str, span: str, log: PaneLog) -> Row:
    rows = points.curve(slicing, name, span)
    shares = [shapes.share(row[_STRANGE], log.scored(row)) for row in rows]
    return {"t": [row["time_ms"] for row in rows], "share": shares, "span": span}


def _calibration(window: Row, scored: int) -> Row:
    shares = [shapes.share(window[name], scored) for name in ALPHA_FIELDS]
    return {"alpha": list(ALPHAS), "scored": scored, "share": shares, "model_id": window["model_id"]}


def _features(points: Points, slicing: str, name: str, span: str) -> list[Row]:
    """Newest PIT histogram of each feature, the one that moved most first."""
    made = []
    for feature, row in points.features(slicing, name, span):
        counts = [row[f"h{b:02d}"] for b in range(PIT_BINS)]
        made.append({"feature": feature, "moved": float(row["tv"]), "counts": counts, "time_ms": row["time_ms"]})
    return sorted(made, key=lambda entry: (-entry["moved"], entry["feature"]))
