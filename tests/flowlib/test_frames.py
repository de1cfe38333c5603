"""DataFrames of pandas and polars to tables and back: types, gaps, time zones, and what comes out of ``sample``."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest

from flowlib.frames import layout_of, table_of

KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
NEW_YEAR = datetime(2026, 1, 1)
HOUR_MS = 3_600_000


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Any:
    """A frame of columns, by each library."""
    return KINDS[request.param]


# Times -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_time_with_a_zone_is_its_instant(make: Any, zone: str) -> None:
    """Summer and winter; the hour of midnight in Berlin is 22 or 23 in UTC."""
    at = [datetime(2026, month, 2, tzinfo=ZoneInfo(zone)) for month in (1, 7)]
    frame = make({"x": [1.0, 2.0], "at": at})
    hours = table_of(frame, layout_of(frame)).time_ms // HOUR_MS
    assert hours.tolist() == [int(one.timestamp()) // 3_600 for one in at]
    assert (hours % 24).tolist() == {"UTC": [0, 0], "Europe/Berlin": [23, 22]}[zone]


def test_a_time_without_a_zone_is_as_it_is_written(make: Any) -> None:
    frame = make({"x": [1.0, 2.0], "at": [NEW_YEAR + timedelta(hours=5), datetime(1960, 1, 1, 5, 0, 0, 1_500)]})
    ms = table_of(frame, layout_of(frame)).time_ms
    assert (ms // HOUR_MS % 24).tolist() == [5, 5]
    assert (ms % 1_000).tolist() == [0, 1]


def test_a_date_is_its_midnight() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0], "at": [date(2026, 1, 1), date(1969, 12, 31)]})
    assert table_of(frame, layout_of(frame)).time_ms.tolist() == [1_767_225_600_000, -24 * HOUR_MS]


def test_what_is_no_time_now_is_refused(make: Any) -> None:
    layout = layout_of(make({"x": [1.0], "at": [NEW_YEAR]}))
    with pytest.raises(ValueError, match="column 'at' held times in training and is String now"):
        table_of(make({"x": [1.0], "at": ["2026-01-01"]}), layout)
