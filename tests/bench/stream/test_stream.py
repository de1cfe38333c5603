"""The bench's own rules: what is timed exists, and ratios are of the rows they name."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest

from tests.bench.stream import ratios, stages


@pytest.mark.parametrize("path", stages.PARTS.values())
def test_what_is_timed_exists(path: str) -> None:
    assert callable(resolve_name(path))


def row(path: str, cost: float, **of: object) -> dict[str, object]:
    known = {"format": "json", "d": 8, "slices": 12, "partitions": 1, "workers": 1}
    return {"path": path, "cpu_us_per_event": cost, **known, **of}


def test_ratios_are_of_the_rows_they_name() -> None:
    rows = [
        row("driftflow", 4.0),
        row("driftflow", 5.0, slices=10_000),
        row("driftflow", 1.0, format="float32"),
        row("driftflow", 4.0, partitions=4),
        row("driftflow", 4.2, partitions=4, workers=2),
        row("aiokafka loop", 3.6),
        row("flow alone", 0.3, format="none"),
        row("Faust", 280.0),
    ]
    assert ratios.of(rows) == {
        "faust_over_json_d8": 70.0,
        "json_over_loop_d8": 1.111,
        "float32_of_flow_d8": 0.3,
        "json_of_flow_d8": 0.075,
        "slices_10000_over_12_d8": 1.25,
        "partitions_4_over_1": 1.0,
        "workers_2_over_1": 1.05,
    }


def test_what_is_missed_is_said() -> None:
    (line,) = ratios.table({"json_over_loop_d8": 1.3})
    assert line.endswith("MISSED")
