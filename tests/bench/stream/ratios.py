"""What the rows say beside each other: processor time an event, as ratios within one case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Rows = list[dict[str, Any]]

MUST: dict[str, tuple[str, float]] = {
    "json_over_loop_d8": ("≤", 1.2),
    "json_over_loop_d32": ("≤", 1.2),
    "float32_of_flow_d8": ("≥", 0.28),
    "float32_of_flow_d32": ("≥", 0.60),
    "slices_10000_over_12_d8": ("≤", 1.5),
    "slices_10000_over_12_d32": ("≤", 1.5),
    "faust_over_json_d8": ("≥", 70.0),
    "faust_over_json_d32": ("≥", 34.0),
    "quix_batched_over_json_d8": ("≥", 4.0),
    "quix_batched_over_json_d32": ("≥", 3.0),
    "workers_2_over_1": ("≤", 1.1),
}
"""What each ratio must be."""


def of(rows: Rows) -> dict[str, float]:
    """The ratios that the rows have both sides of."""
    return {name: round(value, 3) for name, value in _all(rows)}


def _all(rows: Rows) -> Iterator[tuple[str, float]]:
    for d in (8, 32):
        ours = _cost(rows, path="driftflow", format="json", d=d, slices=12, partitions=1)
        for name, path in (("faust", "Faust"), ("quix_batched", "Quix Streams batched"), ("quix", "Quix Streams")):
            peer = _cost(rows, path=path, d=d, slices=12)
            if ours and peer:
                yield f"{name}_over_json_d{d}", peer / ours
        loop = _cost(rows, path="aiokafka loop", d=d, slices=12, partitions=1)
        if ours and loop:
            yield f"json_over_loop_d{d}", ours / loop
        for format in ("float32", "avro", "json"):
            one = _cost(rows, path="driftflow", format=format, d=d, slices=12, partitions=1)
            flow = _cost(rows, path="flow alone", d=d, slices=12, partitions=1)
            if one and flow:
                yield f"{format}_of_flow_d{d}", flow / one
        for slices in (1_000, 10_000, 100_000):
            many = _cost(rows, path="driftflow", format="json", d=d, slices=slices)
            if ours and many:
                yield f"slices_{slices}_over_12_d{d}", many / ours
    alone = _cost(rows, path="driftflow", d=8, slices=12, partitions=1, format="json")
    for partitions in (4, 16):
        some = _cost(rows, path="driftflow", d=8, slices=12, partitions=partitions, workers=1)
        if alone and some:
            yield f"partitions_{partitions}_over_1", some / alone
    one, two = (_cost(rows, path="driftflow", partitions=4, workers=workers) for workers in (1, 2))
    if one and two:
        yield "workers_2_over_1", two / one


def _cost(rows: Rows, **wanted: Any) -> float:
    """Microseconds an event of the row that is so; 0 where there is none. Of several the first case counts."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return float(found[0]["cpu_us_per_event"]) if found else 0.0


def table(ratios: dict[str, float]) -> Iterator[str]:
    """A line for each ratio, with what it must be."""
    for name, value in ratios.items():
        sign, must = MUST.get(name, ("", 0.0))
        held = {"≤": value <= must, "≥": value >= must}.get(sign, True)
        bar = f"must be {sign} {must:g}" if sign else ""
        yield f"{name:32} {value:10.3f}  {bar:18} {'' if held else 'MISSED'}"
