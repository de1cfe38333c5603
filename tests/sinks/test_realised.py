"""How a model has done on each slice and day, from the embedded store: what fairness is made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flowlib.fairness import said
from flowlib.table import DAY_MS
from stream_app.config import Config
from stream_app.sinks.realised import DAYS_MAX, alarms_since, realised
from tests.audit.stored import DAYS, PANES, store_windows
from tests.models.streams import config_in

FAIR = {"Dongsi": 0.01, "Wanliu": 0.01, "Huairou": 0.01, "Shunyi": 0.05}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = config_in(tmp_path)
    store_windows(config, "new", "station", FAIR)
    return config


@pytest.fixture
def link(config: Config) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(config.path(config.sink.path))
    yield found
    found.close()


def test_panes_are_summed_by_slice_and_day(config: Config, link: sqlite3.Connection) -> None:
    found = realised(link, config.stream)
    assert (found.model_id, found.from_ms, found.to_ms) == ("new", 0, DAYS * DAY_MS)
    assert DAYS < DAYS_MAX
    counts = found.slices["station"]
    assert list(counts.names) == sorted(FAIR)
    assert np.array_equal(counts.rows, np.full((4, DAYS), 400.0 * PANES))
    assert np.array_equal(counts.unscorable, np.full((4, DAYS), 1.0 * PANES))
    shunyi = counts.alarms[counts.names.index("Shunyi")].sum() / (400 * PANES * DAYS)
    assert shunyi == pytest.approx(0.05, abs=0.01)
    assert (counts.log_prob / counts.rows)[0] == pytest.approx(-3.1, abs=0.1)


def test_who_is_over_alarmed_is_named(config: Config, link: sqlite3.Connection) -> None:
    parts = realised(link, config.stream).parts
    assert [part.name for part in parts if part.judged == "over"] == ["Shunyi"]
    assert said(parts)[0].startswith("station, Shunyi: ")


def test_only_the_stream_and_the_model_that_are_asked_for_count(config: Config, link: sqlite3.Connection) -> None:
    assert realised(link, "another").model_id == ""
    former = realised(link, config.stream, "former")
    assert (former.model_id, former.parts, former.to_ms) == ("former", [], 0)


def test_further_days_are_not_looked_at_than_rows_allow(config: Config, link: sqlite3.Connection) -> None:
    found = realised(link, config.stream, rows_max=3 * PANES * len(FAIR))
    assert (found.from_ms, found.to_ms) == ((DAYS - 3) * DAY_MS, DAYS * DAY_MS)
    assert realised(link, config.stream, rows_max=1).from_ms == (DAYS - 1) * DAY_MS


def test_alarms_since_a_time_count_each_event_once(config: Config, link: sqlite3.Connection) -> None:
    half = DAYS // 2 * DAY_MS
    scored, alarms, until_ms = alarms_since(link, config.stream, "new", half)
    assert (scored, until_ms) == (len(FAIR) * 400 * PANES * DAYS // 2, DAYS * DAY_MS)
    assert alarms / scored == pytest.approx(0.02, abs=0.005)
    store_windows(config, "new", "all", {"all": 0.02}, events=100)
    assert alarms_since(link, config.stream, "new", half) == (scored, alarms, until_ms)
    assert alarms_since(link, config.stream, "new", DAYS * DAY_MS) == (0, 0, 0)
    assert alarms_since(link, config.stream, "former", 0) == (0, 0, 0)


def test_damaged_rows_are_left_out_and_counted(config: Config, link: sqlite3.Connection) -> None:
    whole = realised(link, config.stream).slices["station"].rows.sum()
    bad = ["{", "[]", "null", msgspec.json.encode({"model_id": "new", "scored": 1, "p_le_01": 2}).decode()]
    for n, text in enumerate(bad):
        link.execute("UPDATE windows SET fields = ? WHERE time_ms = ? AND series_id = 1", (text, (n + 1) * DAY_MS))
    link.execute("UPDATE windows SET fields = x'ff00' WHERE time_ms = ? AND series_id = 1", (6 * DAY_MS,))
    found = realised(link, config.stream)
    assert found.left_out == len(bad) + 1
    assert found.slices["station"].rows.sum() == whole - 400 * found.left_out


def test_a_store_without_windows_is_an_error_of_sqlite(tmp_path: Path) -> None:
    empty = sqlite3.connect(tmp_path / "empty.sqlite")
    with pytest.raises(sqlite3.Error):
        realised(empty, "s")
    empty.close()
