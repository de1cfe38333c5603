"""Every InfluxQL query of the Grafana dashboard and its alerts, on a real server that holds what the sink writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import influx as server
from tests.console.telling import PANE_MS, START_MS
from tests.dashboards.stored import END_MS, FAR, PANES, stored_lines, strange_share
from tests.influx import query

GRAFANA = Path(__file__).parents[2] / "infra/grafana"
DASHBOARD = GRAFANA / "dashboards/stream-beijing-air.json"


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """InfluxDB 1 with the points of a small stream."""
    with server.influx(tmp_path_factory.mktemp("influx")) as url:
        query(url, 'CREATE DATABASE "driftflow"', post=True)
        server.store(url, stored_lines())
        yield url


def _filled(text: str, span: str = "7d") -> str:
    """A query as Grafana would send it, with a span and two slices chosen."""
    for name, value in {
        "$timeFilter": f"time >= 0ms AND time <= {END_MS + PANE_MS}ms",
        "$__interval": "6h",
        "$slicing": "station",
        "$slice": "(Dongsi|Tiantan)",
        "$feature": "(PM2\\.5|WSPM)",
        "${span:text}": "6h" if span == "pane" else span,
        "$span": span,
    }.items():
        text = text.replace(name, value)
    assert "$" not in text.replace("$/", ""), text
    return text


def _panels() -> dict[str, dict[str, Any]]:
    return {panel["title"]: panel for panel in json.loads(DASHBOARD.read_text())["panels"]}


def _queries() -> list[tuple[str, str]]:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [(p["title"], t["query"]) for p in dashboard["panels"] for t in p["targets"]]
    variables = [(v["name"], v["query"]) for v in dashboard["templating"]["list"] if v["type"] == "query"]
    notes = [(a["name"], a["target"]["query"]) for a in dashboard["annotations"]["list"]]
    return panels + variables + notes


def _asked(influx: str, title: str, span: str = "7d") -> list[dict[str, Any]]:
    """Series of a panel's only query."""
    (target,) = _panels()[title]["targets"]
    return query(influx, _filled(target["query"], span))


@pytest.mark.parametrize(("title", "text"), [q for q in _queries() if q[0] != "Event anomalies"])
def test_every_query_finds_something(influx: str, title: str, text: str) -> None:
    series = query(influx, _filled(text))
    assert series, title
    assert all(part["values"] for part in series)


def test_shares_are_shares_and_times_are_times(influx: str) -> None:
    """Units of columns and lines, as far as a number can be wrong in them."""
    for title, panel in _panels().items():
        special = {
            of["matcher"]["options"]: {p["id"]: p["value"] for p in of["properties"]}
            for of in panel.get("fieldConfig", {}).get("overrides", [])
        }
        for target in panel["targets"]:
            for part in query(influx, _filled(target["query"])):
                columns = dict(zip(part["columns"], zip(*part["values"], strict=True), strict=True))
                for name, values in columns.items():
                    unit = special.get(name, {}).get("unit") or panel["fieldConfig"]["defaults"].get("unit", "")
                    known = [value for value in values if value is not None and name != "time"]
                    if unit == "percentunit":
                        assert all(0 <= value <= 1 for value in known), (title, name)
                    if unit == "dateTimeAsIso":
                        assert all(value > START_MS - 30 * PANE_MS for value in known), (title, name)


@pytest.mark.parametrize("title", ["Single strange events", "What people said", "Models"])
def test_the_newest_come_first_in_one_series(influx: str, title: str) -> None:
    (series,) = _asked(influx, title)
    times = [row[0] for row in series["values"]]
    assert times == sorted(times, reverse=True)
    assert "tags" not in series, "a limit would count each series by itself"
    assert _panels()[title]["options"]["sortBy"] == [{"displayName": "when", "desc": True}]


@pytest.mark.parametrize("title", ["Open incidents", "All incidents"])
def test_incidents_are_sorted_by_grafana_by_a_column_that_it_shows(title: str) -> None:
    panel = _panels()[title]
    (by,) = panel["options"]["sortBy"]
    renamed = [
        of["matcher"]["options"] for of in panel["fieldConfig"]["overrides"] if _is_called(of, by["displayName"])
    ]
    assert (renamed, by["desc"]) == (["Time"], True)


def _is_called(override: dict[str, Any], name: str) -> bool:
    return {"id": "displayName", "value": name} in override["properties"]


@pytest.mark.parametrize("span", ["pane", "1d", "7d", "28d"])
def test_strange_events_are_those_of_the_span_that_is_chosen(influx: str, span: str) -> None:
    series = {part["tags"]["slice"]: part["values"] for part in _asked(influx, "Strange events per slice", span)}
    assert series.keys() == {"Dongsi", "Tiantan"}
    for name, values in series.items():
        last = next(row[1] for row in values if row[0] == END_MS)
        assert last == pytest.approx(strange_share(name, span))


def test_the_strangest_slice_is_the_one_that_drifts(influx: str) -> None:
    (series,) = _asked(influx, "Strangest slices")
    shares = {row[series["columns"].index("slice")]: row[1] for row in series["values"]}
    assert len(shares) == 3
    assert max(shares, key=shares.__getitem__) == "Dongsi"


def test_features_move_as_far_as_their_histograms_are_from_flat(influx: str) -> None:
    """Of both partitions together, those that are chosen, over each span: a day's histogram is of the day before."""
    for span, most in (("1d", PANES // 4), ("7d", 2)):
        series = {part["tags"]["feature"]: part["values"] for part in _asked(influx, "Which features moved", span)}
        assert series.keys() == {"PM2.5", "WSPM"}
        assert len(series["PM2.5"]) <= most, "one a span"
        far, near = series["PM2.5"][0][1], series["WSPM"][0][1]
        assert far == pytest.approx(FAR, abs=1e-6)
        assert near < far / 5
    days = [row[0] for row in _of_feature(_asked(influx, "Which features moved", "1d"), "PM2.5")]
    assert days[0] == START_MS + 1, "the first day's stands at the first day"


def _of_feature(series: list[dict[str, Any]], name: str) -> list[list[Any]]:
    return next(part["values"] for part in series if part["tags"]["feature"] == name)


def _rows(influx: str, title: str) -> dict[str, list[Any]]:
    """A table of incidents by their ids, without the time: one series."""
    (series,) = _asked(influx, title)
    assert series["columns"][-1] == "id"
    return {row[-1]: row[1:-1] for row in series["values"]}


def test_open_incidents_are_those_that_have_not_ended_and_nobody_silences(influx: str) -> None:
    rows = _rows(influx, "Open incidents")
    assert {name: row[:2] for name, row in rows.items()} == {
        "drift-1": ["critical", "drift"],
        "fault-2": ["warning", "fault"],
        "small-1": ["info", "drift"],
        "intake-2": ["warning", "fault"],  # of a fault that two partitions still have: the one that began first
    }
    assert rows["drift-1"][2].startswith("At Dongsi")


def test_open_now_counts_them_by_severity(influx: str) -> None:
    """Also what began before the dashboard's time range."""
    counts = {}
    for target in _panels()["Open now"]["targets"]:
        assert "$timeFilter" not in target["query"]
        ((_, counts[target["alias"]]),) = query(influx, _filled(target["query"]))[0]["values"]
    assert counts == {"critical": 1, "warning": 2, "info": 1}


def test_each_open_incident_is_an_alert_of_its_severity(influx: str) -> None:
    (group,) = yaml.safe_load((GRAFANA / "provisioning/alerting/stream-beijing-air.yaml").read_text())["groups"]
    firing = {}
    for rule in group["rules"]:
        asked, newest, beyond = (of["model"] for of in rule["data"])
        assert (newest["reducer"], beyond["conditions"][0]["evaluator"]) == ("last", {"params": [0.0], "type": "gt"})
        for part in query(influx, asked["query"]):
            ((_, number),) = part["values"]
            assert number > 0
            firing[part["tags"]["id"]] = rule["labels"]["severity"]
    assert firing == {"drift-1": "critical", **dict.fromkeys(("fault-2", "intake-1", "intake-2"), "warning")}
    told = {rule["notification_settings"]["group_by"][-2] for rule in group["rules"]}
    assert told == {"thread"}, "what several partitions tell of one fault is one message"


def test_what_partitions_tell_of_one_fault_opened_once(influx: str) -> None:
    series = {tuple(part["tags"].values()): part["values"] for part in _asked(influx, "Incidents opened")}
    assert sum(row[1] for row in series["fault", "warning"]) == 3


def test_all_incidents_are_their_newest_messages_whatever_came_first(influx: str) -> None:
    """Two messages of one pane have one time: the later number counts."""
    states = {name: (row[0], row[3]) for name, row in _rows(influx, "All incidents").items()}
    assert states == {
        "drift-0": ("handover", "0"),
        "drift-1": ("update", "0"),
        "fault-1": ("resolve", "0"),
        "fault-2": ("open", "0"),
        "hushed-1": ("open", "1"),
        **{f"intake-{k}": ("resolve" if k == 0 else "open", "0") for k in range(3)},
        "small-1": ("open", "0"),
        "twice-1": ("accepted", "0"),
    }


def test_what_became_of_events_is_of_all_partitions_and_the_time_between(influx: str) -> None:
    """Running totals stand in the store; what is shown is by how much they grew."""
    panel = _panels()["What became of events"]
    shown = {t["alias"]: query(influx, _filled(t["query"])) for t in panel["targets"]}
    assert {name: [row[1] for row in series[0]["values"]] for name, series in shown.items()} == {
        "scored": [14],
        "late": [0],
        "rejected": [2],
        "duplicate": [2],
        "held": [0, 2],
    }


def test_old_measurements_are_asked_for_nowhere() -> None:
    assert "alerts" not in DASHBOARD.read_text()
