"""What the page shows, read from the embedded store. Read-only; the store may be written meanwhile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream_app.core.layout import ALPHAS, PIT_BINS
from stream_app.core.points import ALPHA_FIELDS

Row = dict[str, Any]

POINTS_MAX = 1_500
"""Points of a curve: more than a screen has pixels for is thinned out here."""

ALERTS_MAX = 2_000
_SHOWN_ALERTS = 60
_STRANGE = "p_le_01"

# A loose index scan: jumps from series to series instead of reading every point.
_SERIES = """
WITH RECURSIVE s(series) AS (
    SELECT min(series) FROM points WHERE measurement = :m
    UNION ALL
    SELECT (SELECT min(series) FROM points WHERE measurement = :m AND series > s.series) FROM s WHERE s.series NOT NULL
)
SELECT series FROM s WHERE series NOT NULL
"""


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

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        link = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5.0)
        try:
            yield link
        finally:
            link.close()

    def overview(self) -> Row | None:
        """Slices with their state, counters, models and the latest alerts; None while there is nothing to show."""
        try:
            with self._open() as link:
                return self._overview(link)
        except sqlite3.OperationalError:  # no file, or no table yet
            return None

    def _overview(self, link: sqlite3.Connection) -> Row | None:
        spans = self._last_windows(link)
        if not spans:
            return None
        alerts = self._all(link, "alerts", ALERTS_MAX)
        open_rules = open_incidents(alerts)
        slices = [
            {
                "slicing": slicing, "slice": name, "seen": row["seen"], "share": row[_STRANGE] / max(row["seen"], 1),
                "span": row["span"], "rules": open_rules.get((slicing, name), []), "model_id": row["model_id"],
            }
            for (slicing, name), row in sorted(spans.items())
        ]  # fmt: skip
        activations = self._all(link, "activations", ALERTS_MAX)
        newest = activations[-1]["model_id"] if activations else ""
        return {
            "stream": self._stream,
            "time_ms": max(row["time_ms"] for row in spans.values()),
            "slices": slices,
            "counters": self._counters(link),
            "alerts": alerts[::-1][:_SHOWN_ALERTS],
            "opened": sum(a["state"] == "open" for a in alerts),
            "retrains": self._all(link, "retrains", 20),
            "swaps": swaps(activations),
            "models": [{**m, "gates": json.loads(m["gates"])} for m in self._all(link, "models", 50)],
            "service": newest,
        }

    def _last_windows(self, link: sqlite3.Connection) -> dict[tuple[str, str], Row]:
        """The newest window of the longest span of each slice."""
        last: dict[tuple[str, str], Row] = {}
        for (series,) in link.execute(_SERIES, {"m": "windows"}).fetchall():
            row = self._last(link, "windows", series)
            if row is None or row["stream"] != self._stream or row["span"] == "pane":
                continue
            key = (row["slicing"], row["slice"])
            if key not in last or span_order(row["span"]) > span_order(last[key]["span"]):
                last[key] = row
        return last

    def _counters(self, link: sqlite3.Connection) -> dict[str, int]:
        total: dict[str, int] = {}
        for (series,) in link.execute(_SERIES, {"m": "counters"}).fetchall():
            row = self._last(link, "counters", series)
            if row is not None and row["stream"] == self._stream:
                for name, value in row.items():
                    if name not in ("time_ms", "partition", "stream"):
                        total[name] = total.get(name, 0) + int(value)
        return total

    def detail(self, slicing: str, name: str, span: str = "") -> Row | None:
        """Curves, calibration and PIT histograms of one slice; None when there is no such slice."""
        try:
            with self._open() as link:
                return self._detail(link, slicing, name, span)
        except sqlite3.OperationalError:
            return None

    def _detail(self, link: sqlite3.Connection, slicing: str, name: str, span: str) -> Row | None:
        panes = self._curve(link, slicing, name, "pane")
        spans = self._spans(link, slicing, name)
        if not panes or not spans:
            return None
        span = span if span in spans else spans[-1]
        window = self._last(link, "windows", self._series(slicing, name, span))
        assert window is not None
        smooth = self._curve(link, slicing, name, spans[min(1, len(spans) - 1)])
        alerts = [a for a in self._all(link, "alerts", ALERTS_MAX) if (a["slicing"], a["slice"]) == (slicing, name)]
        return {
            "slicing": slicing, "slice": name, "spans": spans, "span": span,
            "panes": {
                "t": [row["time_ms"] for row in panes],
                "log_prob": [row.get("log_prob_mean") for row in panes],
                "model_id": [row["model_id"] for row in panes],
            },
            "strange": {
                "t": [row["time_ms"] for row in smooth],
                "share": [row[_STRANGE] / max(row["seen"], 1) for row in smooth],
                "span": smooth[-1]["span"] if smooth else "",
            },
            "incidents": incidents(alerts),
            "calibration": {
                "alpha": list(ALPHAS), "seen": window["seen"], "model_id": window["model_id"],
                "share": [window[field] / max(window["seen"], 1) for field in ALPHA_FIELDS],
            },
            "features": self._features(link, slicing, name, span),
        }  # fmt: skip

    def _features(self, link: sqlite3.Connection, slicing: str, name: str, span: str) -> list[Row]:
        """PIT histogram of each feature, the one that moved most first."""
        features = []
        suffix = f",{self._series(slicing, name, span)}"
        for (series,) in link.execute(_SERIES, {"m": "pit"}).fetchall():
            row = self._last(link, "pit", series) if series.endswith(suffix) else None
            if row is not None:
                counts = [row[f"h{b:02d}"] for b in range(PIT_BINS)]
                features.append({"feature": row["feature"], "moved": row["tv"], "counts": counts, "at": row["time_ms"]})
        return sorted(features, key=lambda feature: (-feature["moved"], feature["feature"]))

    def _series(self, slicing: str, name: str, span: str) -> str:
        return f"slice={name},slicing={slicing},span={span},stream={self._stream}"

    def _spans(self, link: sqlite3.Connection, slicing: str, name: str) -> list[str]:
        head, tail = f"slice={name},slicing={slicing},span=", f",stream={self._stream}"
        spans = [
            series.removeprefix(head).removesuffix(tail)
            for (series,) in link.execute(_SERIES, {"m": "windows"}).fetchall()
            if series.startswith(head) and series.endswith(tail)
        ]
        return sorted((span for span in spans if span != "pane"), key=span_order)

    def _curve(self, link: sqlite3.Connection, slicing: str, name: str, span: str) -> list[Row]:
        """Points of a window series, thinned to a bounded number; the newest one always stays."""
        key = ("windows", self._series(slicing, name, span))
        n = link.execute("SELECT count(*) FROM points WHERE measurement = ? AND series = ?", key).fetchone()[0]
        step = max(1, -(-n // POINTS_MAX))
        sql = (
            "SELECT time_ms, tags, fields FROM (SELECT *, row_number() OVER (ORDER BY time_ms DESC) AS k FROM points"
            " WHERE measurement = ? AND series = ?) WHERE (k - 1) % ? = 0 ORDER BY time_ms"
        )
        return [_flat(*row) for row in link.execute(sql, (*key, step))]

    def _last(self, link: sqlite3.Connection, measurement: str, series: str) -> Row | None:
        sql = "SELECT time_ms, tags, fields FROM points WHERE measurement = ? AND series = ? ORDER BY time_ms DESC LIMIT 1"
        row = link.execute(sql, (measurement, series)).fetchone()
        return _flat(*row) if row else None

    def _all(self, link: sqlite3.Connection, measurement: str, limit: int) -> list[Row]:
        """The newest points of a measurement, oldest first."""
        sql = "SELECT time_ms, tags, fields FROM points WHERE measurement = ? ORDER BY time_ms DESC LIMIT ?"
        rows = [_flat(*row) for row in link.execute(sql, (measurement, limit))]
        return [row for row in reversed(rows) if row["stream"] == self._stream]


def _flat(time_ms: int, tags: str, fields: str) -> Row:
    return {"time_ms": time_ms, **json.loads(tags), **json.loads(fields)}


def span_order(span: str) -> int:
    """Length of ``28d`` or ``6h`` in hours, for sorting."""
    number, unit = span[:-1], span[-1:]
    return (
        int(number) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}.get(unit, 0) if number.isdigit() else 0
    )


def open_incidents(alerts: list[Row]) -> dict[tuple[str, str], list[str]]:
    """Rules with an open incident, by (slicing, slice)."""
    state = {(a["slicing"], a["slice"], a["rule"]): a["state"] for a in alerts}
    table: dict[tuple[str, str], list[str]] = {}
    for (slicing, name, rule), last in sorted(state.items()):
        if last != "resolve":
            table.setdefault((slicing, name), []).append(rule)
    return table


def incidents(alerts: list[Row]) -> list[Row]:
    """From when to when each incident lasted; ``end_ms`` is None while it is open."""
    table: dict[str, Row] = {}
    for alert in alerts:
        entry = table.setdefault(
            alert["id"], {"rule": alert["rule"], "start_ms": alert["opened_pane_ms"], "end_ms": None, "summary": ""}
        )
        if alert["state"] == "resolve":
            entry["end_ms"] = alert["time_ms"]
        else:
            entry["summary"] = alert["summary"]
    return sorted(table.values(), key=lambda entry: entry["start_ms"])


def swaps(activations: list[Row]) -> list[Row]:
    """When each model took over on its first partition, the first model aside."""
    first: dict[str, int] = {}
    for row in activations:
        first.setdefault(row["model_id"], row["time_ms"])
    return [{"model_id": model_id, "time_ms": at} for model_id, at in list(first.items())[1:]]
