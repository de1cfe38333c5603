"""From stored rows to what a person asks: what is wrong now, since when, and out of how many events."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from scipy.stats import binom

from flowlib.table import DAY_MS
from stream_app.config import Duration
from stream_app.console.rows import Row
from stream_app.stages.judge.policy import slice_words

OVER = ("resolve", "learned")
"""States of an alert that ends its incident."""

_SEVERITY = {"ok": 0, "fault": 1, "drift": 2}


def span_ms(span: str) -> int:
    """Length of ``28d`` or ``6h``; 0 for what is no span, such as ``pane``."""
    try:
        return Duration.parse(span)
    except ValueError:
        return 0


def open_alerts(alerts: Iterable[Row]) -> list[Row]:
    """The newest alert of each incident that is open, drift first, then the newest; alerts are oldest first."""
    latest = {(alert["slicing"], alert["slice"], alert["rule"], alert.get("source")): alert for alert in alerts}
    return sorted(
        (alert for alert in latest.values() if alert["state"] not in OVER),
        key=lambda alert: (-_SEVERITY[alert["kind"]], -alert["opened_pane_ms"], alert["slicing"], alert["slice"]),
    )


def by_slice(alerts: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Alerts by (slicing, slice), in the order given."""
    table: dict[tuple[str, str], list[Row]] = {}
    for alert in alerts:
        table.setdefault((alert["slicing"], alert["slice"]), []).append(alert)
    return table


def worst(kinds: Iterable[str]) -> str:
    """The worst of some kinds of alerts; ``ok`` when there are none."""
    return max(kinds, key=_SEVERITY.__getitem__, default="ok")


def worst_first(row: Row) -> tuple[int, str, str]:
    """Sort key of the slices."""
    return -_SEVERITY[row["state"]], row["slicing"], row["slice"]


def says(alert: Row) -> str:
    """What an alert has found, in words, without the name of the slice: ``TEMP: up by about 1.2 sd``."""
    first = next(iter(alert["blame"]), None)
    if first is None or not first["detail"]:
        return str(alert["summary"]).removeprefix(f"{slice_words(alert['slice'])}: ")
    features = [blame["feature"] for blame in alert["blame"] if blame["detail"] == first["detail"]]
    return f"{', '.join(features)}: {first['detail'].removeprefix(alert['detector'] + ': ')}"


def incident(alert: Row) -> Row:
    """An alert as a line of a list."""
    return {
        **{name: alert[name] for name in ("id", "rule", "kind", "detector", "slicing", "slice", "state", "blame")},
        "says": says(alert),
        "start_ms": alert["opened_pane_ms"],
        "end_ms": alert["time_ms"] if alert["state"] in OVER else None,
    }


def incidents(alerts: Iterable[Row]) -> list[Row]:
    """From when to when each incident lasted; ``end_ms`` is None while it is open."""
    table: dict[str, Row] = {}
    for alert in alerts:
        start = {"rule": alert["rule"], "kind": alert["kind"], "start_ms": alert["opened_pane_ms"], "end_ms": None}
        entry = table.setdefault(alert["id"], start | {"says": says(alert)})
        if alert["state"] in OVER:
            entry["end_ms"] = alert["time_ms"]
    return sorted(table.values(), key=lambda entry: int(entry["start_ms"]))


def newest_days(rows: Iterable[Row], days: int) -> list[Row]:
    """Of daily histograms, newest first, those of the newest model within so many days up to the newest."""
    kept: list[Row] = []
    for row in rows:
        if kept and (row["model_id"] != kept[0]["model_id"] or kept[0]["time_ms"] - row["time_ms"] >= days * DAY_MS):
            continue
        kept.append(row)
    return kept


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
