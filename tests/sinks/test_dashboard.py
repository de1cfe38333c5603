"""Every InfluxQL query of the Grafana dashboard, on a real server that holds what the sink writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import load
from stream_app.kafka.embedded import free_port
from stream_app.sinks.line_protocol import line_of
from stream_app.stages.outputs import Point
from stream_app.stages.points import incident_point
from tests.conftest import cannot_start
from tests.console.storing import EXAMPLE, all_points
from tests.console.telling import START_MS, made_incident

DASHBOARD = Path(__file__).parents[2] / "infra/grafana/dashboards/driftflow.json"
PANES = 24

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
[monitor]
store-enabled = false
"""


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """InfluxDB 1.x with the points of a small stream."""
    binary = shutil.which("influxd")
    if binary is None:
        cannot_start("influxd is not installed (Debian package influxdb)")
        return
    folder, port = tmp_path_factory.mktemp("influx"), free_port()
    (folder / "influxdb.conf").write_text(_CONFIG.format(folder=folder, http=port, rpc=free_port()))
    server = subprocess.Popen(
        [binary, "-config", str(folder / "influxdb.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_and_fill(url)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _wait_and_fill(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/ping", timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    else:
        cannot_start("influxd did not start")
    config = load(EXAMPLE)
    query(url, 'CREATE DATABASE "driftflow"', post=True)
    lines = [line_of(point) for point in [*all_points(config, PANES), *_more()]]
    for at in range(0, len(lines), 2_000):
        body = "\n".join(lines[at : at + 2_000]).encode()
        urllib.request.urlopen(f"{url}/write?db=driftflow&precision=ms", body, timeout=10).close()


def _more() -> Iterator[Point]:
    """A small incident, and one that ends in the pane in which it was told of last."""
    small = made_incident("beijing-air", "Tiantan", START_MS, START_MS + 1, id="small-1", severity="info")
    yield incident_point(small)
    for number, state in ((10, "accepted"), (9, "update")):
        more = {"id": "twice-1", "number": number}
        yield incident_point(made_incident("beijing-air", "Tiantan", START_MS, START_MS + 1, state, **more))


def query(url: str, text: str, post: bool = False) -> list[dict[str, Any]]:
    """Series of an InfluxQL query; fails on an error."""
    words = urllib.parse.urlencode({"q": text, "db": "driftflow", "epoch": "ms"})
    body = words.encode() if post else None
    with urllib.request.urlopen(f"{url}/query" + ("" if post else f"?{words}"), body, timeout=10) as answer:
        (result,) = json.load(answer)["results"]
    assert "error" not in result, f"{text}: {result}"
    return list(result.get("series", []))


def _filled(text: str) -> str:
    """A query as Grafana would send it."""
    end = START_MS + (PANES + 1) * 21_600_000
    for name, value in {
        "$timeFilter": f"time >= 0ms AND time <= {end}ms",
        "$__interval": "6h",
        "$stream": "beijing-air",
        "$slicing": "station",
        "$slice": "(Dongsi|Tiantan)",
        "$span": "7d",
    }.items():
        text = text.replace(name, value)
    assert "$" not in text.replace("$/", ""), text
    return text


def _queries() -> list[tuple[str, str]]:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [(p["title"], t["query"]) for p in dashboard["panels"] for t in p["targets"]]
    variables = [(v["name"], v["query"]) for v in dashboard["templating"]["list"]]
    notes = [(a["name"], a["query"]) for a in dashboard["annotations"]["list"]]
    return panels + variables + notes


@pytest.mark.parametrize(("title", "text"), [q for q in _queries() if q[0] != "Event anomalies"])
def test_every_query_finds_something(influx: str, title: str, text: str) -> None:
    series = query(influx, _filled(text))
    assert series, title
    if 'sum("p_le' in text:
        shares = [row[1] for part in series for row in part["values"] if row[1] is not None]
        assert shares
        assert all(0 <= share <= 1 for share in shares)


def test_strange_events_are_grouped_by_slice(influx: str) -> None:
    text = next(text for title, text in _queries() if title == "Strange events per slice")
    series = {part["tags"]["slice"]: part["values"] for part in query(influx, _filled(text))}
    assert series.keys() == {"Dongsi", "Tiantan"}
    assert series["Dongsi"][-1][1] > 5 * max(series["Tiantan"][-1][1], 0.001)


def test_features_move_as_far_as_their_histograms_are_from_flat(influx: str) -> None:
    text = next(text for title, text in _queries() if title == "Which features moved")
    series = {part["tags"]["feature"]: part["values"] for part in query(influx, _filled(text))}
    assert len(series) == 11
    far, near = series["PM2.5"][0][1], series["WSPM"][0][1]
    assert far == pytest.approx(500 / 2400 - 1 / 20, abs=1e-6), "of both partitions together, that day"
    assert near < far / 5


def _rows(influx: str, title: str) -> dict[str, list[Any]]:
    """A table of incidents by their ids, without the time."""
    text = next(text for name, text in _queries() if name == title)
    return {part["tags"]["id"]: part["values"][0][1:] for part in query(influx, _filled(text))}


def test_open_incidents_are_those_that_have_not_ended_and_nobody_silences(influx: str) -> None:
    rows = _rows(influx, "Open incidents")
    assert {name: row[:2] for name, row in rows.items()} == {
        "drift-1": ["critical", "drift"],
        "fault-2": ["warning", "fault"],
        "small-1": ["info", "drift"],
    }
    assert rows["drift-1"][2].startswith("At Dongsi")


def test_open_now_counts_them_by_severity(influx: str) -> None:
    """Also what began before the dashboard's time range."""
    texts = [text for name, text in _queries() if name == "Open now"]
    assert len(texts) == 3
    for text in texts:
        assert "$timeFilter" not in text
        ((_, n),) = query(influx, _filled(text))[0]["values"]
        assert n == 1


def test_all_incidents_are_their_newest_messages_whatever_came_first(influx: str) -> None:
    """Two messages of one pane have one time: the later number counts."""
    states = {name: (row[0], row[3]) for name, row in _rows(influx, "All incidents").items()}
    assert states == {
        "drift-0": ("handover", "0"),
        "drift-1": ("update", "0"),
        "fault-1": ("resolve", "0"),
        "fault-2": ("open", "0"),
        "hushed-1": ("open", "1"),
        "small-1": ("open", "0"),
        "twice-1": ("accepted", "0"),
    }


def test_old_measurements_are_asked_for_nowhere() -> None:
    assert "alerts" not in DASHBOARD.read_text()
