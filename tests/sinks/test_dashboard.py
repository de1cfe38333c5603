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
from stream_app.sinks.influx import line_of
from tests.conftest import cannot_start
from tests.console.storing import EXAMPLE, HOSTILE, START_MS, all_points

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
    lines = [line_of(point) for point in all_points(config, PANES)]
    for at in range(0, len(lines), 2_000):
        body = "\n".join(lines[at : at + 2_000]).encode()
        urllib.request.urlopen(f"{url}/write?db=driftflow&precision=ms", body, timeout=10).close()


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


def test_open_now_is_what_has_not_ended(influx: str) -> None:
    text = next(text for title, text in _queries() if title == "Open now")
    text = _filled(text).replace("(Dongsi|Tiantan)", ".*")
    found = {(p["tags"]["rule"], p["tags"]["slice"]): p["values"][0][1:] for p in query(influx, text)}
    assert {key: values[:2] for key, values in found.items()} == {
        ("drift", "Dongsi"): ["drift", "location"],
        ("fault", HOSTILE): ["fault", "volume"],
    }
    assert found["drift", "Dongsi"][2].startswith("Dongsi, TEMP")


def test_an_alert_of_all_slices_is_shown_whatever_slices_are_chosen() -> None:
    for title, text in _queries():
        if title in ("Alerts", "Open now"):
            assert "OR \"slice\" = '__all__'" in text
