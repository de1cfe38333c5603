"""``driftflow dashboards``: what Grafana is provisioned from, for anybody's stream."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from stream_app.cli import main
from stream_app.config import load
from stream_app.dashboards import Options, write_dashboards
from stream_app.dashboards.names import uid_of
from stream_app.errors import DriftflowError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "infra/docker/driftflow.toml"
TOML = """
stream = "orders.eu"
[topics]
events = "orders"
[event]
time_field = "at"
numeric = ["price", "net, gross"]
slicings = [["country", "shop"]]
[windows]
pane = "15m"
spans = ["6h", "2d"]
[sink]
kind = "{kind}"
bucket = "orders"
url = "https://influx.example:8086"
token_env = "INFLUX_TOKEN"
"""


def own(folder: Path, kind: str = "influx") -> Path:
    """The configuration of a stream that is not the example."""
    path = folder / "driftflow.toml"
    path.write_text(TOML.format(kind=kind))
    return path


def written(folder: Path, kind: str = "influx", **options: str) -> dict[str, Any]:
    """What is written for it, by file."""
    config = load(own(folder, kind))
    paths = write_dashboards(config, folder / "grafana", Options(**options))
    read = {".json": json.loads, ".yaml": yaml.safe_load}
    return {str(path.relative_to(folder / "grafana")): read[path.suffix](path.read_text()) for path in paths}


def test_the_committed_files_are_those_of_the_shipped_configuration(tmp_path: Path) -> None:
    write_dashboards(load(SHIPPED), tmp_path, Options())
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.*")}
    kept = {path.relative_to(ROOT / "infra/grafana"): path.read_text() for path in ROOT.glob("infra/grafana/*/**/*.*")}
    again = "driftflow dashboards --out infra/grafana -c infra/docker/driftflow.toml"
    assert kept.keys() == made.keys(), again
    for name, text in made.items():
        assert kept[name] == text, f"{name} is not what is made today: {again}"


def queries_of(dashboard: dict[str, Any]) -> list[str]:
    """Everything that a dashboard asks."""
    panels = [target for panel in dashboard["panels"] for target in panel["targets"]]
    asked = [target.get("query") or target["expr"] for target in panels]
    variables = [of["query"] for of in dashboard["templating"]["list"] if of["type"] == "query"]
    return asked + variables


@pytest.mark.parametrize("name", ["dashboards/stream-orders.eu.json", "dashboards/monitor.json"])
def test_each_variable_is_used_and_there_is_no_other(name: str, tmp_path: Path) -> None:
    dashboard = written(tmp_path)[name]
    text = "\n".join(queries_of(dashboard))
    used = set(re.findall(r"\$\{?([a-z]\w*)", text)) - {"timeFilter", "tag_slice"}
    assert used == {of["name"] for of in dashboard["templating"]["list"]}
    assert dashboard["time"]["from"].startswith("now-")
    assert dashboard["time"]["to"] == "now"


def test_the_dashboard_is_of_the_own_stream(tmp_path: Path) -> None:
    files = written(tmp_path)
    dashboard = files["dashboards/stream-orders.eu.json"]
    assert dashboard["title"] == "driftflow: orders.eu"
    assert dashboard["time"] == {"from": "now-4d", "to": "now"}
    variables = {of["name"]: of for of in dashboard["templating"]["list"]}
    assert variables["span"]["query"] == "15m : pane,6h : 6h,2d : 2d"
    assert variables["span"]["current"]["value"] == "6h"
    assert variables["feature"]["query"] == "price,net\\, gross"
    assert variables["slicing"]["current"]["value"] == "country+shop"
    assert all("\"stream\" = 'orders.eu'" in text for text in queries_of(dashboard))
    lines = [panel for panel in dashboard["panels"] if any("$__interval" in t["query"] for t in panel["targets"])]
    assert {panel["interval"] for panel in lines} == {"15m"}, "no finer than panes: what is between has no points"


def test_an_incident_leads_to_its_page(tmp_path: Path) -> None:
    own(tmp_path).write_text(TOML.format(kind="influx") + '[alerts]\nconsole_url = "https://drift.example/"\n')
    write_dashboards(load(tmp_path / "driftflow.toml"), tmp_path / "out", Options())
    text = (tmp_path / "out/dashboards/stream-orders.eu.json").read_text()
    assert text.count('"url": "https://drift.example/#incident=${__value.text}"') == 2


def test_no_table_shows_what_is_for_machines(tmp_path: Path) -> None:
    for text in queries_of(written(tmp_path)["dashboards/stream-orders.eu.json"]):
        assert not re.search(r'"(record|gates|blame)"', text), text


def test_a_limit_counts_rows_of_one_series(tmp_path: Path) -> None:
    """InfluxQL's LIMIT is one for each group."""
    for text in queries_of(written(tmp_path)["dashboards/stream-orders.eu.json"]):
        if re.search(r"\bLIMIT", text):
            assert "GROUP BY" not in text, text
            assert "ORDER BY time DESC" in text, text


def test_sources_and_rules_name_each_other(tmp_path: Path) -> None:
    files = written(tmp_path, influx="http://influx.local:8086", prometheus="http://prometheus.local:9090")
    sources = [of for name, file in files.items() if "datasources" in name for of in file["datasources"]]
    (influx,) = (of for of in sources if of["type"] == "influxdb")
    assert influx["url"] == "http://influx.local:8086"
    assert influx["jsonData"]["dbName"] == "orders"
    assert influx["secureJsonData"] == {"httpHeaderValue1": "Token $INFLUX_TOKEN"}
    known = {of["uid"] for of in sources} | {"__expr__"}
    groups = [of for name, file in files.items() if "alerting" in name for of in file["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {query["datasourceUid"] for rule in rules for query in rule["data"]} == known
    boards = [of for name, of in files.items() if name.startswith("dashboards/")]
    assert {panel["datasource"]["uid"] for of in boards for panel in of["panels"]} == known - {"__expr__"}
    assert len({rule["uid"] for rule in rules}) == len(rules)
    assert all(len(rule["uid"]) <= 40 for rule in rules)
    contacts = [of["name"] for name, file in files.items() for of in file.get("contactPoints", [])]
    assert {rule["notification_settings"]["receiver"] for rule in rules} == set(contacts)
    assert "$" not in json.dumps(groups), "Grafana would take it from its environment"


@pytest.mark.parametrize(
    ("to", "kind", "settings"),
    [
        ("ops@example.org", "email", {"addresses": "ops@example.org"}),
        ("https://hooks.example/x", "webhook", {"url": "https://hooks.example/x", "httpMethod": "POST"}),
    ],
)
def test_alerts_go_where_is_said(to: str, kind: str, settings: dict[str, str], tmp_path: Path) -> None:
    (contact,) = written(tmp_path, alerts_to=to)["provisioning/alerting/monitor.yaml"]["contactPoints"]
    (receiver,) = contact["receivers"]
    assert (receiver["type"], receiver["settings"]) == (kind, settings)


def test_without_influxdb_the_monitor_alone_is_shown_and_incidents_alert_all_the_same(tmp_path: Path) -> None:
    own(tmp_path, "sqlite")
    words = ["dashboards", "--out", str(tmp_path / "out"), "-c", str(tmp_path / "driftflow.toml")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "There is no dashboard of the stream: sink.kind is sqlite" in done.output
    assert [path.name for path in (tmp_path / "out/dashboards").iterdir()] == ["monitor.json"]
    text = (tmp_path / "out/provisioning/alerting/stream-orders.eu.yaml").read_text()
    assert 'driftflow_info{stream="orders.eu"}' in text


def test_two_streams_share_a_folder(tmp_path: Path) -> None:
    for config in (load(own(tmp_path)), load(SHIPPED)):
        write_dashboards(config, tmp_path / "grafana", Options())
    names = {path.name for path in (tmp_path / "grafana/dashboards").iterdir()}
    assert names == {"stream-orders.eu.json", "stream-beijing-air.json", "monitor.json"}


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk", None)
    with pytest.raises(DriftflowError, match=r"pip install 'driftflow\[grafana\]'"):
        write_dashboards(load(own(tmp_path)), tmp_path, Options())


@given(st.lists(st.from_regex(r"[a-zA-Z0-9._-]{1,60}", fullmatch=True), min_size=2, max_size=2, unique=True))
def test_uids_are_one_to_one(names: list[str]) -> None:
    one, two = (uid_of("driftflow", name) for name in names)
    assert one != two
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", one)
