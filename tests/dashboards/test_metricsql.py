"""Every MetricsQL query of the Grafana dashboard and its alerts, on VictoriaMetrics with what the sink writes."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.config import load
from stream_app.dashboards import Options, write_dashboards
from tests import victoria as server
from tests.console.telling import PANE_MS, START_MS
from tests.dashboards.stored import END_MS, FAR, PANES, sample_count, stored_lines, strange_share

SHIPPED = Path(__file__).parents[2] / "infra/docker/driftflow.toml"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """VictoriaMetrics with the points of a small stream."""
    with server.victoria(tmp_path_factory.mktemp("victoria")) as url:
        body = "\n".join(stored_lines()).encode()
        urllib.request.urlopen(f"{url}/api/v2/write?precision=ms", body, timeout=10).close()
        _wait_for(url, sample_count())
        yield url


def _wait_for(url: str, samples: int) -> None:
    """A flush makes samples seen, those of new series by and by: in the index of all times and in that of each day,
    of which short queries ask.
    """
    spans, later_ms = ("20y", f"{PANES * PANE_MS // DAY_MS + 1}d"), END_MS + 3_600_000
    seen, end = [0.0], time.monotonic() + 20
    while seen != [samples] * 2 and time.monotonic() < end:
        urllib.request.urlopen(f"{url}/internal/force_flush", timeout=10).close()
        seen = [_sum(ask(url, f'sum(count_over_time({{__name__!=""}}[{span}]))', later_ms)) for span in spans]
    assert seen == [samples] * 2


def _sum(series: list[dict[str, Any]]) -> float:
    return sum(float(of["value"][1]) for of in series)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written for it."""
    folder = tmp_path_factory.mktemp("grafana")
    write_dashboards(load(SHIPPED), folder, Options(language="metricsql", influx="http://victoria:8428"))
    return folder


@pytest.fixture(scope="module")
def panels(folder: Path) -> dict[str, dict[str, Any]]:
    dashboard = json.loads((folder / "dashboards/stream-beijing-air.json").read_text())
    return {panel["title"]: panel for panel in dashboard["panels"]}


def _filled(text: str, span: str = "7d") -> str:
    """A query as Grafana would send it, with a span and two slices chosen."""
    for name, value in {
        "$__interval": "6h",
        "$__range": "30d",
        "$slicing": "station",
        "$slice": "(Dongsi|Tiantan)",
        "$feature": "(PM2\\\\.5|WSPM)",
        "${span:text}": "6h" if span == "pane" else span,
        "$span": span,
    }.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def ask(url: str, text: str, at_ms: int = END_MS) -> list[dict[str, Any]]:
    """Series with their labels and value a second after a time: a sample of that very moment is not always found."""
    words = urllib.parse.urlencode({"query": text, "time": at_ms / 1_000 + 1, "nocache": 1})
    with urllib.request.urlopen(f"{url}/api/v1/query?{words}", timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


def _by(series: list[dict[str, Any]], label: str) -> dict[str, float]:
    return {of["metric"][label]: float(of["value"][1]) for of in series}


def _asked(victoria: str, panel: dict[str, Any], label: str, span: str = "7d") -> dict[str, float]:
    """Value of the panel's only query at the end, by a label."""
    (target,) = panel["targets"]
    return _by(ask(victoria, _filled(target["expr"], span)), label)


def test_every_query_finds_something(victoria: str, panels: dict[str, dict[str, Any]]) -> None:
    """What became of events has a test of its own, and there are no anomalies."""
    for title in panels.keys() - {"What became of events", "Event anomalies"}:
        for target in panels[title]["targets"]:
            at = START_MS + PANE_MS if title == "Incidents opened" else END_MS
            assert ask(victoria, _filled(target["expr"]), at), title


def test_open_incidents_are_those_that_have_not_ended_and_nobody_silences(
    victoria: str, panels: dict[str, dict[str, Any]]
) -> None:
    since = _asked(victoria, panels["Open incidents"], "id")
    assert since.keys() == {"drift-1", "fault-2", "small-1", "intake-2"}, "of a fault of two partitions the first"
    assert all(START_MS - PANE_MS <= value < END_MS for value in since.values())
    counts = {t["legendFormat"]: float(ask(victoria, t["expr"])[0]["value"][1]) for t in panels["Open now"]["targets"]}
    assert counts == {"critical": 1, "warning": 2, "info": 1}


def test_each_open_incident_is_an_alert_of_its_severity(victoria: str, folder: Path) -> None:
    (group,) = yaml.safe_load((folder / "provisioning/alerting/stream-beijing-air.yaml").read_text())["groups"]
    firing = {
        rule["labels"]["severity"]: list(_by(ask(victoria, rule["data"][0]["model"]["expr"]), "id"))
        for rule in group["rules"]
    }
    assert {name: sorted(ids) for name, ids in firing.items()} == {
        "critical": ["drift-1"],
        "warning": ["fault-2", "intake-1", "intake-2"],
    }
    assert {rule["notification_settings"]["group_by"][-2] for rule in group["rules"]} == {"thread"}


@pytest.mark.parametrize("span", ["pane", "1d", "7d", "28d"])
def test_strange_events_are_those_of_the_span_that_is_chosen(
    victoria: str, panels: dict[str, dict[str, Any]], span: str
) -> None:
    shown = _asked(victoria, panels["Strange events per slice"], "slice", span)
    assert shown == {name: pytest.approx(strange_share(name, span)) for name in ("Dongsi", "Tiantan")}


def test_the_strangest_slice_is_the_one_that_drifts(victoria: str, panels: dict[str, dict[str, Any]]) -> None:
    shares = _asked(victoria, panels["Strangest slices"], "slice")
    assert len(shares) == 3
    assert max(shares, key=shares.__getitem__) == "Dongsi"
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize("span", ["1d", "7d"])
def test_features_move_as_far_as_their_histograms_are_from_flat(
    victoria: str, panels: dict[str, dict[str, Any]], span: str
) -> None:
    moved = _asked(victoria, panels["Which features moved"], "feature", span)
    assert moved.keys() == {"PM2.5", "WSPM"}
    assert moved["PM2.5"] == pytest.approx(FAR, abs=1e-6)
    assert moved["WSPM"] < FAR / 5


def test_what_became_of_events_is_of_all_partitions(victoria: str, panels: dict[str, dict[str, Any]]) -> None:
    targets = panels["What became of events"]["targets"]
    whole = f"{PANES * PANE_MS // DAY_MS}d"
    shown = {
        t["legendFormat"]: float(ask(victoria, t["expr"].replace("$__interval", whole))[0]["value"][1]) for t in targets
    }
    assert shown == {"scored": 14, "late": 0, "rejected": 2, "duplicate": 2, "held": 2}


def test_what_is_text_is_not_asked_for_and_the_source_speaks_it(
    folder: Path, panels: dict[str, dict[str, Any]]
) -> None:
    assert not panels.keys() & {"Models", "What people said", "Single strange events", "All incidents"}
    text = (folder / "provisioning/datasources/stream-beijing-air.yaml").read_text()
    (source,) = yaml.safe_load(text)["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://victoria:8428")
    assert {panel["datasource"]["uid"] for panel in panels.values()} == {source["uid"]}
    places = [panel["gridPos"] for panel in panels.values()]
    assert max(at["x"] + at["w"] for at in places) == 24, "no panel stands over the edge"
