"""The retention and downsampling files of infra/influxdb: on InfluxDB 1 itself, and held to what points have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.config import load
from stream_app.sinks.line_protocol import line_of
from stream_app.stages.outputs import Point
from tests import influx as server
from tests.console.storing import EXAMPLE, all_points
from tests.console.telling import PANE_MS, START_MS
from tests.influx import query

FOLDER = Path(__file__).parents[2] / "infra/influxdb"
PANES = 12


def statements() -> list[str]:
    """One a line, comments aside."""
    lines = (FOLDER / "1.x/setup.iql").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("--")]


def continuous() -> dict[str, str]:
    """Measurement to the query that keeps it for good."""
    bodies = [match[1] for line in statements() if (match := re.search(r" BEGIN (.*) END$", line))]
    return {str(re.findall(r'INTO "years"\."(\w+)"', body)[0]): body for body in bodies}


def points() -> list[Point]:
    return all_points(load(EXAMPLE), PANES)


def test_nothing_that_a_point_has_is_left_out() -> None:
    for measurement, body in continuous().items():
        had = {name for point in points() if point.measurement == measurement for name, _ in point.fields}
        kept = re.findall(r'last\("(\w+)"\) AS "(\w+)"', body)
        assert all(one == other for one, other in kept)
        assert had <= {name for name, _ in kept}, measurement
        assert had or measurement == "service"


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that was set up by the file, with points for good."""
    with server.influx(tmp_path_factory.mktemp("influx")) as url:
        for line in statements():
            query(url, line, post=True)
        query(url, 'ALTER RETENTION POLICY "recent" ON "driftflow" DURATION INF', post=True)  # the example is of 2013
        server.store(url, [line_of(point) for point in points()])
        yield url


def test_a_server_takes_each_statement(influx: str) -> None:
    (policies,) = query(influx, 'SHOW RETENTION POLICIES ON "driftflow"')
    assert {row[0]: row[-1] for row in policies["values"]} == {"recent": True, "years": False}
    known = {row[0] for part in query(influx, "SHOW CONTINUOUS QUERIES") for row in part.get("values", [])}
    assert {"windows_by_day", "pit_by_day", "incidents", "actions", "models", "service"} <= known


def test_a_day_is_kept_as_it_stood_at_its_end(influx: str) -> None:
    """Each query as the server runs it, over the time of the example."""
    times = f"time >= {START_MS}ms AND time <= {START_MS + PANES * PANE_MS}ms"
    for body in continuous().values():
        where = "AND" if " WHERE " in body else "WHERE"
        query(influx, body.replace(" GROUP BY", f" {where} {times} GROUP BY"), post=True)
    asked = """FROM "{}"."windows" WHERE "slice" = 'Dongsi' AND "span" = '1d'"""
    (kept,) = query(influx, f'SELECT "seen", "p_le_01", "model_id" {asked.format("years")}')
    (written,) = query(influx, f'SELECT "seen", "p_le_01", "model_id" {asked.format("recent")}')
    last = {(row[0] - 1) // 86_400_000: row[1:] for row in written["values"]}  # midnight ends a day
    assert {row[0] // 86_400_000: row[1:] for row in kept["values"]} == last
    assert len(kept["values"]) < len(written["values"])
    told = [f'SELECT "summary" FROM "{policy}"."incidents" GROUP BY "id", "number"' for policy in ("years", "recent")]
    assert query(influx, told[0]) == query(influx, told[1]), "word by word, to the minute"


def test_tasks_of_2_keep_the_same_measurements() -> None:
    text = "".join(path.read_text() for path in sorted((FOLDER / "2.x").glob("*.flux")))
    named = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"kept = \[.*\]|r\._measurement == \S+", text))))
    assert named == continuous().keys()
    assert text.count("option task = ") == len(list((FOLDER / "2.x").glob("*.flux")))
