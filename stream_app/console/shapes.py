"""From stored rows to what a person asks: what is wrong now, since when, and out of how many events."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Row = dict[str, Any]

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SEVERITY = {"ok": 0, "warning": 1, "drift": 2}


def flat(time_ms: int, tags: str, fields: str) -> Row:
    """A stored point as one dict."""
    return {"time_ms": time_ms, **json.loads(tags), **json.loads(fields)}


def span_ms(span: str) -> int:
    """Length of ``28d`` or ``6h``; 0 for what is no span, such as ``pane``."""
    number, unit = span[:-1], span[-1:]
    return int(number) * _UNITS_MS.get(unit, 0) if number.isdigit() else 0


def kind(alert: Row) -> str:
    """``drift`` when the events as a whole are stranger, ``warning`` for every other rule."""
    return "drift" if alert["rule"] == "drift" or alert["evidence"] == "e-value" else "warning"


def open_rules(alerts: Iterable[Row]) -> dict[tuple[str, str], dict[str, str]]:
    """Rules with an open incident and their kind, by (slicing, slice); alerts are oldest first."""
    latest = {(a["slicing"], a["slice"], a["rule"]): a for a in alerts}
    table: dict[tuple[str, str], dict[str, str]] = {}
    for (slicing, name, rule), alert in sorted(latest.items()):
        if alert["state"] != "resolve":
            table.setdefault((slicing, name), {})[rule] = kind(alert)
    return table


def worst(kinds: Iterable[str]) -> str:
    """The worst of some kinds; ``ok`` when there are none."""
    return max(kinds, key=_SEVERITY.__getitem__, default="ok")


def worst_first(row: Row) -> tuple[int, str, str]:
    """Sort key of the slices."""
    return -_SEVERITY[row["state"]], row["slicing"], row["slice"]


def incidents(alerts: Iterable[Row]) -> list[Row]:
    """From when to when each incident lasted; ``end_ms`` is None while it is open."""
    table: dict[str, Row] = {}
    for alert in alerts:
        start = {"rule": alert["rule"], "kind": kind(alert), "start_ms": alert["opened_pane_ms"], "end_ms": None}
        entry = table.setdefault(alert["id"], {**start, "summary": ""})
        if alert["state"] == "resolve":
            entry["end_ms"] = alert["time_ms"]
        else:
            entry["summary"] = alert["summary"]
    return sorted(table.values(), key=lambda entry: int(entry["start_ms"]))


def takeovers(activations: Iterable[Row]) -> list[Row]:
    """When each model took over on its first partition, the first model aside."""
    first: dict[str, int] = {}
    for row in activations:
        first.setdefault(row["model_id"], row["time_ms"])
    return [{"model_id": model_id, "time_ms": at} for model_id, at in list(first.items())[1:]]


@dataclass
class PaneLog:
    """Events of a slice pane by pane, and which model scored them.

    A window's p-values start anew when a model takes over, but its ``seen`` does not: a share must be taken of the
    events that the new model has scored, or it would look calibrated merely for being young.
    """

    times: list[int] = field(default_factory=list)
    total: list[int] = field(default_factory=lambda: [0])
    models: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """Time of the last pane of the model before; 0 for the first model."""

    def add(self, time_ms: int, seen: int, model_id: str) -> None:
        """Take the next pane in."""
        swapped = bool(self.models) and self.models[-1] != model_id
        before = self.starts[-1] if self.starts else 0
        self.starts.append(self.times[-1] if swapped else before)
        self.times.append(time_ms)
        self.models.append(model_id)
        self.total.append(self.total[-1] + seen)

    def scored(self, window: Row) -> int:
        """Events that the p-values of a window are about."""
        if "scored" in window:
            return int(window["scored"])
        k = bisect_right(self.times, window["time_ms"])
        start = self.starts[k - 1] if k else 0
        if start <= window["time_ms"] - span_ms(window["span"]):
            return int(window["seen"])  # one model all along
        return min(int(window["seen"]), self.total[k] - self.total[bisect_right(self.times, start)])

    def swaps(self) -> list[Row]:
        """When a new model took over in this slice: partitions swap one after the other."""
        steps = pairwise(zip(self.times, self.models, strict=True))
        return [{"model_id": new, "time_ms": at} for (at, old), (_, new) in steps if new != old]


def share(hits: int, scored: int) -> float | None:
    """None where nothing was scored: nothing is known then, which is not the same as nothing being strange."""
    return min(hits / scored, 1.0) if scored > 0 else None
