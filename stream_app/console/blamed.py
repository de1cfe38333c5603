"""Expected and seen of each column that an incident blames: what its messages have said, and where values fell day by
day in what the model predicts of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowlib.table import DAY_MS, Ints
from schemas.incidents import Finding, Incident
from stream_app.console.overview import bins_of
from stream_app.console.queries import Points
from stream_app.console.rows import Row

FEATURES_MAX = 4
"""Columns that are drawn, those with most of the evidence."""

DAYS_MAX = 200
_PIT_MAX = 20_000
_QUARTILES = (0.25, 0.5, 0.75)


def plots_of(points: Points, messages: Sequence[Row], from_ms: int, to_ms: int) -> list[Row]:
    """A plot for each blamed column.

    Args:
        points: the store.
        messages: of the incident, in order.
        from_ms, to_ms: the time that is drawn.
    """
    record: Incident = messages[-1]["record"]
    chosen = columns_of(record.findings)
    days = _days(points, set(chosen), from_ms, to_ms) if chosen else {}
    return [_plot(column, finding, messages, days.get(column, {})) for column, finding in chosen.items()]


def columns_of(findings: Sequence[Finding]) -> dict[str, Finding]:
    """The columns that are blamed most, each with what is said of it by itself, else of it and another one."""
    found: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda finding: (", " in finding.feature, -finding.weight)):
        for column in filter(None, finding.feature.split(", ")):
            found.setdefault(column, finding)
    return dict(sorted(found.items(), key=lambda item: -item[1].weight)[:FEATURES_MAX])


def _plot(column: str, finding: Finding, messages: Sequence[Row], days: dict[int, Ints]) -> Row:
    told = [(row["time_ms"], _same(row["record"], finding)) for row in messages]
    figures = [(at, one) for at, one in told if one is not None and one.seen is not None]
    kept = sorted(days.items())[-DAYS_MAX:]
    return {
        "feature": column,
        "detector": finding.detector,
        "measure": finding.measure,
        "unit": finding.unit,
        "says": finding.says,
        "told": {
            "t": [at for at, _ in figures],
            "seen": [one.seen for _, one in figures],
            "expected": [one.expected for _, one in figures],
        },
        "places": {"t": [day for day, _ in kept], "quartiles": [quartiles(bins) for _, bins in kept]},
    }


def _same(record: Incident, finding: Finding) -> Finding | None:
    """What a message has said of the same thing."""
    key = (finding.feature, finding.detector, finding.measure)
    return next((one for one in record.findings if (one.feature, one.detector, one.measure) == key), None)


def _days(points: Points, features: set[str], from_ms: int, to_ms: int) -> dict[str, dict[int, Ints]]:
    """Of each column the histogram of each day, by the day's middle; all slices and source partitions together."""
    found: dict[str, dict[int, Ints]] = {}
    for row in points.between("pit", from_ms, to_ms, _PIT_MAX):
        if row["feature"] in features:
            middle = (row["time_ms"] - 1) // DAY_MS * DAY_MS + DAY_MS // 2
            of_days = found.setdefault(row["feature"], {})
            of_days[middle] = of_days.get(middle, 0) + bins_of(row)
    return found


def quartiles(bins: Ints) -> list[float] | None:
    """Places in ``[0, 1]`` below which a quarter, half and three quarters of the values fell; None of no values.

    >>> quartiles(np.full(20, 5))
    [0.25, 0.5, 0.75]
    >>> quartiles(np.zeros(20, dtype=np.int64)) is None
    True
    """
    total = bins.sum()
    if total <= 0:
        return None
    reached = np.concatenate(([0.0], np.cumsum(bins) / total))
    edges = np.linspace(0.0, 1.0, len(bins) + 1)
    return [round(float(x), 4) for x in np.interp(_QUARTILES, reached, edges)]
