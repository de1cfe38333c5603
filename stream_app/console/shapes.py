"""From stored rows to what a person asks: what is wrong now, since when, and out of how many events."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise

from scipy.stats import binom

from stream_app.config import Duration
from stream_app.console.rows import Row

_SEVERITY = {"ok": 0, "warning": 1, "drift": 2}


def span_ms(span: str) -> int:
    """Length of ``28d`` or ``6h``; 0 for what is no span, such as ``pane``."""
    try:
        return Duration.parse(span)
    except ValueError:
        return 0


def kind(rule: str, drift_rules: Collection[str]) -> str:
    """``drift`` for the rules that ask for a new model, ``warning`` for the others."""
    return "drift" if rule in drift_rules else "warning"


def open_rules(alerts: Iterable[Row]) -> dict[tuple[str, str], list[str]]:
    """Rules with an open incident, sorted, by (slicing, slice); alerts are oldest first."""
    latest = {(alert["slicing"], alert["slice"], alert["rule"]): alert["state"] for alert in alerts}
    table: dict[tuple[str, str], list[str]] = {}
    for (slicing, name, rule), state in sorted(latest.items()):
        if state != "resolve":
            table.setdefault((slicing, name), []).append(rule)
    return table


def worst(kinds: Iterable[str]) -> str:
    """The worst of some kinds; ``ok`` when there are none."""
    return max(kinds, key=_SEVERITY.__getitem__, default="ok")


def worst_first(row: Row) -> tuple[int, str, str]:
    """Sort key of the slices."""
    return -_SEVERITY[row["state"]], row["slicing"], row["slice"]


def incidents(alerts: Iterable[Row], drift_rules: Collection[str]) -> list[Row]:
    """From when to when each incident lasted; ``end_ms`` is None while it is open."""
    table: dict[str, Row] = {}
    for alert in alerts:
        rule = alert["rule"]
        start = {"rule": rule, "kind": kind(rule, drift_rules), "start_ms": alert["opened_pane_ms"], "end_ms": None}
        incident = table.setdefault(alert["id"], start)
        if alert["state"] == "resolve":
            incident["end_ms"] = alert["time_ms"]
    return sorted(table.values(), key=lambda incident: int(incident["start_ms"]))


def swaps(panes: Iterable[Row]) -> list[Row]:
    """When another model took over in a slice: partitions swap one after the other, so slices do too."""
    steps = pairwise((pane["time_ms"], pane["model_id"]) for pane in panes)
    return [{"model_id": new, "time_ms": end_ms} for (end_ms, old), (_, new) in steps if new != old]


def swap_count(activations: Iterable[Row]) -> int:
    """How often the model changed on the partition where it did most; activations are oldest first."""
    models: dict[str, list[str]] = {}
    for row in activations:
        of_partition = models.setdefault(row["partition"], [])
        if of_partition[-1:] != [row["model_id"]]:
            of_partition.append(row["model_id"])
    return max((len(of_partition) - 1 for of_partition in models.values()), default=0)


def share(row: Row, name: str) -> float | None:
    """Part of a window's scored events that a field counts.

    None where nothing was scored: nothing is known then, which is not the same as nothing being strange.
    """
    scored = row.get("scored", 0)
    return row[name] / scored if scored > 0 else None


def by_chance(alpha: float, scored: int) -> tuple[float, float]:
    """Between which shares 95 % of samples lie when ``scored`` independent events have p-values that hold.

    The central interval of the binomial distribution; of 2³¹ for more, where SciPy finds none and it is but a line.
    """
    scored = min(scored, 2**31)
    low, high = binom.interval(0.95, scored, alpha)
    return float(low) / scored, float(high) / scored
