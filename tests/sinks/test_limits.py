"""What a sink will not take is said when it is opened, and what is no InfluxDB 2 is called so: on InfluxDB 1.6."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from stream_app.config import Config
from stream_app.config.types import Duration
from stream_app.errors import SinkError
from stream_app.sinks import make_sink
from stream_app.sinks.base import Rejected
from stream_app.sinks.influx import InfluxSink
from stream_app.sinks.limits import limits, points_of_pane
from tests.influx import influx, query
from tests.sinks.making import ScriptedServer, point
from tests.sinks.test_stores import config_of

NOW_S = 1_750_000_000.0


def crowded(config: Config, pane_ms: int) -> Config:
    """With short panes of ten thousand slices."""
    windows = msgspec.structs.replace(config.windows, pane=Duration(pane_ms), max_slices=10_000)
    return msgspec.structs.replace(config, windows=windows)


@pytest.mark.parametrize(("kind", "pane_ms", "said"), [("sqlite", 100, 1), ("influx", 100, 1), ("sqlite", 60_000, 0)])
def test_more_points_than_a_second_has_time_for_are_said_before_they_wait(
    tmp_path: Path, kind: str, pane_ms: int, said: int
) -> None:
    config = crowded(config_of(tmp_path, kind=kind), pane_ms)
    lines = list(limits(config, None, NOW_S))
    assert points_of_pane(config) == 40_000
    assert len(lines) == said
    for line in lines:
        assert "a pane of 0.1 s makes 40,000 points" in line
        assert "windows.spans" in line


@pytest.mark.parametrize(("keeps", "said"), [(0, ""), (86_400, "24 hours"), (30 * 86_400, "30 days")])
def test_a_short_retention_is_said_with_the_date_from_which_on_points_are_taken(
    tmp_path: Path, keeps: int, said: str
) -> None:
    lines = list(limits(config_of(tmp_path, kind="influx"), keeps, NOW_S))
    assert len(lines) == bool(said)
    assert all(f"keeps {said}: points of events before 2025-" in line for line in lines)


def test_influxdb_1_before_its_write_api_is_said_to_be_that(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with influx(tmp_path / "server") as url:
        query(url, 'CREATE DATABASE "driftflow" WITH DURATION 30d', post=True)
        with caplog.at_level(logging.WARNING, "stream_app"):
            sink = make_sink(config_of(tmp_path, kind="influx", url=url))
        assert "Bucket driftflow keeps 30 days" in caplog.text
        with pytest.raises(SinkError, match=r"no write API of InfluxDB 2 .*1\.8.*see sink\.url") as caught:
            sink.write([point(1)])
        assert not isinstance(caught.value, Rejected), "kept, for after an upgrade"
        assert "bucket:" not in str(caught.value)
        sink.close()


def test_policies_are_asked_for_by_name(tmp_path: Path) -> None:
    with influx(tmp_path / "server") as url:
        query(url, 'CREATE DATABASE "air"', post=True)
        query(url, 'CREATE RETENTION POLICY "year" ON "air" DURATION 365d REPLICATION 1', post=True)
        keeps = {}
        for bucket in ("air", "air/autogen", "air/year", "air/week"):
            sink = InfluxSink(config_of(tmp_path, kind="influx", url=f"{url}/", bucket=bucket))
            keeps[bucket] = sink.retention_s()
            sink.close()
        assert keeps == {"air": 0, "air/autogen": 0, "air/year": 365 * 86_400, "air/week": None}


def test_a_bucket_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    server = ScriptedServer([404], body=b'{"code": "not found", "message": "bucket \\"driftflow\\" not found"}')
    sink = InfluxSink(config_of(tmp_path, kind="influx", url=server.url))
    with pytest.raises(SinkError, match="no such organisation or bucket: create it"):
        sink.write([point(1)])
    sink.close()
    server.close()
