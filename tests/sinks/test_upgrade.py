"""A store of the former layout, where all points lay in one table, is brought up to date when it is opened."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import load
from stream_app.console.answers import NotReadableError, Store
from stream_app.errors import SinkError
from stream_app.sinks.sqlite import SQLiteSink
from tests.console.storing import EXAMPLE, all_points, write_store
from tests.console.telling import DRIFTED
from tests.sinks.making import point

FORMER = """
CREATE TABLE points (
    measurement TEXT NOT NULL,
    series TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (measurement, series, time_ms)
) WITHOUT ROWID;
CREATE INDEX points_by_time ON points (measurement, time_ms);
PRAGMA user_version = 1;
"""
STREAM = "beijing-air"


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as link:
        return link.execute("SELECT * FROM points ORDER BY 1, 2, 3").fetchall()


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """The story of the console's tests, in the former layout, and rows that no console shows."""
    write_store(tmp_path / "new.sqlite", 20)
    with closing(sqlite3.connect(tmp_path / "former.sqlite")) as link, link:
        link.executescript(FORMER)
        odd = [("windows", "x", 1, "{", "{}"), ("windows", "slice=a", "soon", "{}", "{}"), ("models", "", -1, "", "")]
        link.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", [*rows_of(tmp_path / "new.sqlite"), *odd])
    return tmp_path / "former.sqlite"


def answers(path: Path) -> tuple[Any, ...]:
    store = Store(path, STREAM)
    return store.overview()[1], store.detail("station", DRIFTED), store.detail("station", DRIFTED, "28d")


def test_no_point_is_lost_and_the_page_shows_the_same(former: Path, tmp_path: Path, caplog: Any) -> None:
    before = rows_of(former)
    with caplog.at_level(logging.WARNING):
        SQLiteSink(former).close()
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        f"Bringing {former}",
        f"{former} has the new layout",
    ]
    assert rows_of(former) == before
    overview, *details = answers(former)
    expected, *expected_details = answers(tmp_path / "new.sqlite")
    assert overview | {"left_out": 0} == expected
    assert [detail | {"left_out": 0} for detail in details] == expected_details


def test_points_of_both_times_are_one_series(former: Path, tmp_path: Path) -> None:
    for path in (former, tmp_path / "new.sqlite"):
        sink = SQLiteSink(path)
        sink.write(all_points(load(EXAMPLE), 30))
        sink.close()
    assert [row for row in rows_of(former) if row[3:] not in (("{", "{}"), ("{}", "{}"), ("", ""))] == rows_of(
        tmp_path / "new.sqlite"
    )
    overview, *details = answers(former)
    expected, *expected_details = answers(tmp_path / "new.sqlite")
    assert overview | {"left_out": 0} == expected
    assert [detail | {"left_out": 0} for detail in details] == expected_details


def test_a_file_that_cannot_be_brought_up_to_date_stays_as_it_is(former: Path) -> None:
    before = rows_of(former)
    with closing(sqlite3.connect(former, isolation_level=None)) as link:
        link.execute("CREATE TABLE others (a)")  # in the way
    with pytest.raises(SinkError, match=r"former\.sqlite cannot be opened as a database: .*others"):
        SQLiteSink(former)
    assert rows_of(former) == before
    with closing(sqlite3.connect(former, isolation_level=None)) as link:
        link.execute("DROP TABLE others")
    sink = SQLiteSink(former)
    sink.write([point(1)])
    sink.close()
    assert len(rows_of(former)) == len(before) + 1


def test_the_console_waits_for_a_worker_to_bring_it_up_to_date(former: Path) -> None:
    with pytest.raises(NotReadableError, match=r"former\.sqlite cannot be read: .*former layout.*start a worker"):
        answers(former)
    SQLiteSink(former).close()
    answers(former)
