"""The table of metrics, and the page that is made of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from stream_app.monitor.exposition import exposed
from stream_app.monitor.meter import SECONDS, Meter
from stream_app.monitor.metrics import METRICS, Metric

GUIDE = Path(__file__).parents[2] / "infra" / "METRICS.md"
UNITS = {"seconds", "bytes", "records", "messages", "points", "partitions", "panes", "blocks", "files", "incidents"}


def test_values_and_steps_are_on_the_page() -> None:
    meter = Meter()
    with meter.step("score", messages=3):
        pass
    meter.count("driftflow_dead_letters_total", "not_json")
    page, kind = exposed(
        {
            "driftflow_lag_records": {("events", "1"): 7.0},
            "driftflow_dead_letters_total": meter.counts("driftflow_dead_letters_total"),
        },
        meter.histograms(),
        "",
    )
    assert kind.startswith("text/plain")
    found = {(s.name, *sorted(s.labels.items())): s.value for f in parse(page.decode()) for s in f.samples}
    assert found["driftflow_lag_records", ("partition", "1"), ("topic", "events")] == 7
    assert found["driftflow_dead_letters_total", ("reason", "not_json")] == 1
    assert found["driftflow_step_messages_sum", ("step", "score")] == 3
    assert found["driftflow_step_seconds_bucket", ("le", "+Inf"), ("step", "score")] == 1
    assert found["process_resident_memory_bytes",] > 1e6


def test_a_reader_of_openmetrics_gets_it() -> None:
    meter = Meter()
    with pytest.raises(KeyError), meter.step("checkpoint"):
        raise KeyError
    page, kind = exposed({}, meter.histograms(), "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    (family,) = (f for f in parse_openmetrics(page.decode()) if f.name == "driftflow_step_seconds")
    assert len(family.samples) == len(SECONDS) + 3
    assert family.samples[-2].value == 1, "a step that fails counts too"


def test_what_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"not in the table of metrics: .'driftflow_x'."):
        exposed({"driftflow_x": {(): 1.0}}, {}, "")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_rules_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"(driftflow|process)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not set(metric.labels) & {"slice", "slicing", "field", "feature", "id", "le"}
    assert metric.help.endswith(".")
    for unit in UNITS & set(metric.unit.split()):
        assert unit in metric.name or metric.name.startswith(("driftflow_incidents", "process_", "driftflow_dead"))


def rows_of(text: str) -> dict[str, tuple[str, ...]]:
    """Name of a metric to the other cells of its row."""
    lines = [line for line in text.splitlines() if re.match(r"\| `(driftflow|process)_", line)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): tuple(row[1:]) for row in rows}


def test_the_guide_has_the_same_table() -> None:
    written = rows_of(GUIDE.read_text())
    wanted = {
        m.name: (m.kind, m.unit, ", ".join(f"`{label}`" for label in m.labels), ", ".join(m.roles), m.help)
        for m in METRICS
    }
    assert written == wanted
    assert list(written) == [metric.name for metric in METRICS]


def test_nothing_is_imported_for_it_before_somebody_asks() -> None:
    code = "import stream_app.worker.monitoring, stream_app.monitor.tracing, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} & {"prometheus_client", "opentelemetry"} == set()
