"""Which features moved, where panes are missing: each span is compared whole and by itself, on real servers."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib.pit import PIT_BINS
from flowlib.table import DAY_MS
from stream_app.config import load
from stream_app.dashboards.influxql import Queries
from stream_app.dashboards.metricsql import Numbers
from stream_app.sinks.line_protocol import line_of
from stream_app.stages.score.histograms import DayHistograms
from tests.console.storing import EXAMPLE
from tests.dashboards.test_metricsql import ask
from tests.influx import influx, query, store
from tests.victoria import victoria

CONFIG = msgspec.structs.replace(load(EXAMPLE), stream="gaps")
FEATURE = CONFIG.event.numeric[0]
FIRST_MS, PANE_MS = 1_700_006_400_000, 6 * 3_600_000
"""The first day begins at midnight; four panes a day."""
DAYS, LEANS_FROM = 14, 9
FAR = 0.5 * (19 * (0.05 - 1 / 60) + (41 / 60 - 0.05))
"""How far the leaning histogram is from flat."""


def is_missing(partition: int, day: int, pane: int) -> bool:
    """Days 4 and 5 have nothing; of day 9 the first partition has its morning alone, day 11 has no evening."""
    return day in (4, 5) or (day == 9 and partition == 0 and pane > 0) or (day == 11 and pane > 1)


def lines() -> list[str]:
    """What SCORE makes of these panes, flat up to a day and leaning from it on."""
    made = []
    for partition in range(2):
        days = DayHistograms()
        for day in range(DAYS):
            for pane in range(4):
                if is_missing(partition, day, pane):
                    continue
                pit = np.full((len(CONFIG.event.numeric), PIT_BINS), 1, dtype=np.int64)
                pit[:, -1] += 40 * (day >= LEANS_FROM)
                closing: Any = SimpleNamespace(
                    panes=[(FIRST_MS + day * DAY_MS + pane * PANE_MS, [SimpleNamespace(model_id="m", pit=pit)])]
                )
                made += days.take(CONFIG, partition, [closing])
    return [line_of(point) for point in made]


@pytest.fixture(scope="module")
def influx1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with influx(tmp_path_factory.mktemp("gaps-influx")) as url:
        query(url, 'CREATE DATABASE "driftflow"', post=True)
        store(url, lines())
        yield url


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with victoria(tmp_path_factory.mktemp("gaps-victoria")) as url:
        body = "\n".join(lines()).encode()
        urllib.request.urlopen(f"{url}/write?precision=ms", body, timeout=10).close()
        wanted, seen = len(lines()) * PIT_BINS, 0.0
        for _ in range(100):
            urllib.request.urlopen(f"{url}/internal/force_flush", timeout=10).close()
            found = ask(url, 'sum(count_over_time({__name__=~"pit_h[0-9]+"}[60d]))', FIRST_MS + DAYS * DAY_MS)
            seen = float(found[0]["value"][1]) if found else 0.0
            if seen == wanted:
                break
        assert seen == wanted
        yield url


def of_day(day: int) -> float | None:
    """How far a day is from flat; None where it has nothing, or is not over."""
    return None if day in (4, 5) or not 0 <= day < DAYS - 1 else FAR if day >= LEANS_FROM else 0.0


def test_influxql_compares_each_day_with_itself_alone(influx1: str) -> None:
    times = f"time >= {FIRST_MS}ms AND time <= {FIRST_MS + DAYS * DAY_MS}ms"
    text = Queries("gaps").moved().replace("$timeFilter", times).replace("$feature", FEATURE.replace(".", "\\."))
    (series,) = query(influx1, text.replace("${span:text}", "1d"))
    found = {(at_ms - FIRST_MS) // DAY_MS: far for at_ms, far in series["values"]}
    assert found == {day: pytest.approx(of_day(day), abs=1e-9) for day in range(DAYS) if of_day(day) is not None}


@pytest.mark.parametrize("hour", [0, 1, 7, 13, 19, 23])
def test_metricsql_compares_the_last_day_that_is_over_with_itself_alone(metrics: str, hour: int) -> None:
    """Whenever Grafana asks: its steps begin at any hour."""
    text = Numbers("gaps").moved().replace("$feature", FEATURE.replace(".", "\\\\.")).replace("${span:text}", "1d")
    start_s = FIRST_MS / 1_000 + 3_600 * hour
    words = {"query": text, "start": start_s, "end": start_s + (DAYS - 1) * 86_400, "step": "1d", "nocache": 1}
    with urllib.request.urlopen(f"{metrics}/api/v1/query_range?{urllib.parse.urlencode(words)}", timeout=10) as answer:
        (series,) = json.load(answer)["data"]["result"]
    found = {round((at_s - start_s) / 86_400) - 1: float(far) for at_s, far in series["values"]}
    assert found == {day: pytest.approx(of_day(day), abs=1e-9) for day in range(DAYS) if of_day(day) is not None}
