"""DataFrames of pandas and polars to tables and back: types, gaps, time zones, and what comes out of ``sample``."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flowlib.frames import columns as frame_columns
from flowlib.frames.frames import frame_of, layout_of, table_of

KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
NEW_YEAR = datetime(2026, 1, 1)
HOUR_MS = 3_600_000


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Any:
    """A frame of columns, by each library."""
    return KINDS[request.param]


# Times ----------------------------------------------------------------------------------------------------------------


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


# Numbers and texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["Int8", "Int64", "UInt16", "Float32", "Float64"])
def test_gaps_of_any_type_of_number_are_missing(type_: str) -> None:
    made = [
        pd.DataFrame({"x": pd.array([1, None, 3], dtype=type_)}),
        pl.DataFrame({"x": [1, None, 3]}, schema={"x": getattr(pl, type_)}),
    ]
    for frame in made:
        np.testing.assert_array_equal(table_of(frame, layout_of(frame)).numeric[:, 0], [1, np.nan, 3])


@pytest.mark.parametrize("type_", [pl.Decimal(10, 2), pl.Int128])
def test_numbers_that_numpy_does_not_have_are_taken_too(type_: Any) -> None:
    frame = pl.DataFrame({"x": [1, None, 3]}, schema={"x": type_})
    np.testing.assert_array_equal(table_of(frame, layout_of(frame)).numeric[:, 0], [1, np.nan, 3])


def gaps(library: str, n: int) -> Any:
    """A column of nothing but gaps, of each kind that a library makes of ``None``."""
    made: dict[str, Any] = {
        "pandas": pd.Series([None] * n),
        "pandas NA": pd.Series([pd.NA] * n),
        "pandas NaT": pd.Series([pd.NaT] * n),
        "pandas text": pd.Series([None] * n, dtype="string"),
        "polars": pl.Series([None] * n),
        "polars text": pl.Series([None] * n, dtype=pl.String),
        "polars object": pl.Series([None] * n, dtype=pl.Object),
    }
    return made[library]


LIBRARIES = ("pandas", "pandas NA", "pandas NaT", "pandas text", "polars", "polars text", "polars object")


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_numeric_column_may_have_nothing_but_gaps(library: str, n: int) -> None:
    """A frame of one row with None in a numeric column, and a column that is null in every row."""
    make: Any = KINDS[library.split()[0]]
    layout = layout_of(make({"x": [1.0, 2.0], "y": [3, 4]}))
    table = table_of(make({"x": gaps(library, n), "y": [7] * n}), layout)
    np.testing.assert_array_equal(table.numeric, [[np.nan, 7.0]] * n)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([None, 1], [np.nan, 1]),
        ([Decimal("1.5"), None, Decimal("NaN"), Decimal("1e400")], [1.5, np.nan, np.nan, np.inf]),
        ([Fraction(1, 4), np.float32(0.5), np.int8(3)], [0.25, 0.5, 3]),
        ([10**400, -(10**400), 2**60], [np.inf, -np.inf, 2.0**60]),
    ],
)
def test_objects_that_are_numbers_are_numbers(values: list[Any], got: list[float]) -> None:
    """In training and after it."""
    frames = [
        pd.DataFrame({"x": pd.Series(values, dtype=object)}),
        pl.DataFrame({"x": pl.Series(values, dtype=pl.Object)}),
    ]
    for frame in frames:
        before = layout_of(type(frame)({"x": [1.0]}))
        for layout in (before, layout_of(frame)):
            np.testing.assert_array_equal(table_of(frame, layout).numeric[:, 0], got)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, "a"], "is Object now, with text such as 'a': convert it"),
        ([1, True], "is Object now, with booleans such as True: convert it"),
        ([1, "x" * 100], f"with text such as 'x{'x' * 38}…: convert it"),
        ([NEW_YEAR, 1], r"with times such as datetime.datetime\(2026, 1, 1, 0, 0\): convert it"),
    ],
)
def test_what_is_no_number_is_named(values: list[Any], says: str) -> None:
    layout = layout_of(pd.DataFrame({"x": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="column 'x' was numeric in training and " + says if says[0] == "i" else says):
        table_of(pd.DataFrame({"x": pd.Series(values, dtype=object)}), layout)


def test_a_column_of_gaps_alone_is_a_category_without_a_level(make: Any) -> None:
    """In training nothing tells what it would hold; a value that comes later is one never seen."""
    frame = make({"x": [1.0, 2.0], "nothing": [None, None]})
    layout = layout_of(frame)
    assert (layout.spec.numeric, layout.spec.categorical) == (("x",), ("nothing",))
    assert table_of(frame, layout).categories.tolist() == [[None], [None]]
    assert table_of(make({"x": [1.0], "nothing": [5]}), layout).categories.tolist() == [["5"]]
    back = frame_of(table_of(frame, layout), layout, "pandas" if make is pd.DataFrame else "polars")
    assert back["nothing"].to_list() == [None, None]


def test_times_that_are_all_missing_are_said_to_be(make: Any) -> None:
    layout = layout_of(make({"x": [1.0], "at": [NEW_YEAR]}))
    with pytest.raises(ValueError, match="column 'at' misses times: every row needs one"):
        table_of(make({"x": [1.0], "at": [None]}), layout)


def test_columns_are_not_converted_value_by_value(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers as a whole, texts once for each that is distinct."""
    looked: list[Any] = []
    absent = frame_columns.absent
    frame = make({"x": np.arange(500.0), "n": np.arange(500), "c": ["a", "b"] * 250, "b": [True, False] * 250})
    layout = layout_of(frame)
    monkeypatch.setattr(frame_columns, "absent", lambda value: looked.append(value) or absent(value))
    table = table_of(frame, layout)
    assert table.categories[:2].tolist() == [["a", "True"], ["b", "False"]]
    assert sorted(map(str, looked)) == ["False", "True", "a", "b"]


def test_what_is_equal_and_written_differently_stays_apart() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "c": pd.Series([True, "True", "1", None], dtype=object)})
    assert table_of(frame, layout_of(frame)).categories[:, 0].tolist() == ["True", "True", "1", None]


# What a column held ---------------------------------------------------------------------------------------------------


def test_integers_that_come_back_as_floats_are_the_same_categories() -> None:
    """pandas makes floats of them where one is missing."""
    fitted = pd.DataFrame({"x": [1.0, 2.0, 3.0], "c": pd.Categorical([1, 2, 1]), "s": [7, 8, 7]})
    layout = layout_of(fitted, "s")
    table = table_of(pd.DataFrame({"x": [1.0, 2.0], "c": [1.0, None], "s": [8.0, None]}), layout)
    assert table.categories[:, 0].tolist() == ["1", None]
    assert table.slices.tolist() == ["8", ""]
    assert table_of(fitted, layout).slices.tolist() == ["7", "8", "7"]
    other_way = layout_of(pd.DataFrame({"x": [1.0, 2.0], "c": pd.Categorical([1.0, 2.5])}))
    again = table_of(pd.DataFrame({"x": [1.0], "c": [1]}), other_way)
    assert again.categories[:, 0].tolist() == ["1"]


def test_text_stays_as_it_is_written(make: Any) -> None:
    frame = make({"x": [1.0, 2.0], "c": ["1.0", "01"]})
    assert table_of(frame, layout_of(frame)).categories[:, 0].tolist() == ["1.0", "01"]


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (["1", "2"], [1, 2], "column 'c' held text in training and holds numbers now: convert it"),
        ([True, False], [1.0, 0.0], "column 'c' held booleans in training and holds numbers now"),
        ([True, False], ["True", "False"], "column 'c' held booleans in training and holds text now"),
        (["a", "b"], [[1], [2]], r"column 'c' is of type (List|Object)"),
    ],
)
def test_another_kind_of_value_than_in_training_is_refused(make: Any, before: Any, now: Any, sentence: str) -> None:
    layout = layout_of(make({"x": [1.0, 2.0], "c": before}))
    with pytest.raises(ValueError, match=sentence):
        table_of(make({"x": [1.0, 2.0], "c": now}), layout)


def test_a_part_of_what_a_column_held_is_taken_and_so_is_nothing(make: Any) -> None:
    mixed = layout_of(pd.DataFrame({"x": [1.0, 2.0], "c": pd.Series([True, "a"], dtype=object)}))
    assert table_of(make({"x": [1.0], "c": [True]}), mixed).categories.tolist() == [["True"]]
    text = layout_of(make({"x": [1.0], "c": ["a"]}))
    assert table_of(make({"x": [1.0], "c": [None]}), text).categories.tolist() == [[None]]


def test_a_time_that_has_lost_its_zone_is_refused(make: Any) -> None:
    """Its hours would be others, and nobody would be told."""
    berlin = NEW_YEAR.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    layout = layout_of(make({"x": [1.0], "at": [berlin]}))
    with pytest.raises(ValueError, match="column 'at' was in Europe/Berlin in training and is in no zone now"):
        table_of(make({"x": [1.0], "at": [NEW_YEAR]}), layout)
    utc = NEW_YEAR.replace(tzinfo=ZoneInfo("UTC"))
    assert table_of(make({"x": [1.0], "at": [utc]}), layout).time_ms.tolist() == [1_767_225_600_000]


# And back -------------------------------------------------------------------------------------------------------------


def like(frame: Any, slice_column: str | None = None) -> Any:
    """What comes back of a frame that goes to a table."""
    layout = layout_of(frame, slice_column)
    return frame_of(table_of(frame, layout), layout, "pandas" if isinstance(frame, pd.DataFrame) else "polars")


def test_a_pandas_frame_comes_back_as_it_was() -> None:
    at = [NEW_YEAR + timedelta(hours=7 * i) for i in range(3)]
    given = pd.DataFrame(
        {
            "x": [1.5, 2.5, np.nan],
            "n": np.array([1, 2, 3], np.int8),
            "u": np.array([0, 2, 255], np.uint8),
            "f": np.array([1, 2, 3], np.float32),
            "b": [True, False, True],
            "w": [True, None, False],
            "t": ["a", None, "b"],
            "c": pd.Categorical(["p", "q", None]),
            "k": pd.Categorical([3, 4, 3]),
            "s": [10, 20, 10],
            "at": pd.Series(at).dt.tz_localize("Europe/Berlin"),
        }
    )
    pd.testing.assert_frame_equal(like(given, "s"), given)


@pytest.mark.parametrize(
    "at", [pl.Date, pl.Datetime("us"), pl.Datetime("ns", "Europe/Berlin"), pl.Datetime("ms", "UTC")]
)
def test_a_polars_frame_comes_back_as_it_was(at: Any) -> None:
    columns = {
        "x": ([1.5, 2.5, -1.0], pl.Float64),
        "n": ([1, 2, 3], pl.Int16),
        "g": ([1, None, 3], pl.UInt32),
        "f": ([1.0, 2.0, 3.0], pl.Float32),
        "b": ([True, None, False], pl.Boolean),
        "t": (["a", None, "b"], pl.String),
        "c": (["p", "q", None], pl.Categorical),
        "e": (["p", "q", None], pl.Enum(["q", "p"])),
        "s": ([10, None, 20], pl.Int32),
        "nothing": ([None, None, None], pl.String),
    }
    given = pl.DataFrame({name: pl.Series(values, dtype=dtype) for name, (values, dtype) in columns.items()})
    given = given.with_columns(pl.Series("at", [date(2026, 1, 1 + i) for i in range(3)]).cast(at))
    got = like(given, "s")
    assert got.schema == given.schema
    assert got.equals(given)


def test_integers_with_gaps_come_as_each_library_holds_them() -> None:
    given = pd.DataFrame({"x": pd.array([1, None, 3], dtype="Int64"), "y": [1.0, 2.0, 3.0]})
    assert like(given)["x"].tolist()[::2] == [1.0, 3.0]
    assert like(pl.DataFrame({"x": [1, None, 3]}))["x"].to_list() == [1, None, 3]


def test_integers_are_rounded_into_what_their_type_holds(make: Any) -> None:
    for dtype, ends in (("uint8", [0, 255]), ("int64", [-(2**63), 2**63 - 1024])):
        frame = make({"x": np.zeros(3, dtype)})
        layout = layout_of(frame)
        wild = table_of(frame, layout).with_numeric([[-1e30], [1e30], [4.6]])
        got = frame_of(wild, layout, "pandas" if make is pd.DataFrame else "polars")["x"].to_list()
        assert got == [*ends, 5]
