"""Values as names: the same for every spelling, apart for every difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlib.table import Coded
from stream_app.config import parse
from stream_app.stages.score.texts import Texts, as_text


def texts(**event: object) -> Texts:
    given = {"time_field": "t", "numeric": ["x"], **event}
    return Texts(parse({"stream": "s", "topics": {"events": "e"}, "event": given}).event)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([1], "1"),
        ([1.0], "1"),
        ([-0.0], "0"),
        ([1e22], "10000000000000000000000"),
        ([1.5], "1.5"),
        ([True, 1], "true|1"),
        ([False, 0], "false|0"),
        ([None, "NA"], "(none)|(none)"),
        ([" "], "(none)"),
        ([{"a": 1}, [2]], "(none)|(none)"),
        ([], "all"),
        ([2**60 + 1], "1152921504606846977"),
    ],
)
def test_names_of_values(values: list[object], name: str) -> None:
    assert texts().name(values) == name


def test_true_and_one_are_two_levels_within_a_batch() -> None:
    """They are one key of a dict."""
    values = [True, 1, 1.0, "true", "1", None, False, 0, "x\n"]
    column = Coded.of([as_text(value) for value in values])
    levels = ["true", "1", "1", "true", "1", None, "false", "0", "x%0A"]
    assert texts().levels(column).objects().tolist() == levels
    assert texts().ids(column.objects()) == [level or "" for level in levels]
    pairs = texts().slices([column, column], len(values))
    assert pairs.names == ["true|true", "1|1", "(none)|(none)", "false|false", "0|0", "x%0A|x%0A"]
    assert pairs.objects().tolist()[:3] == ["true|true", "1|1", "1|1"]
    assert texts().slices([], len(values)).objects().tolist() == ["all"] * len(values)


def test_texts_of_one_name_are_one_level() -> None:
    column = Coded(np.array([2, 0, 1, 3]), ["NA", "x\n", " ", "x%0A"])
    assert texts(missing_values=["", "NA"]).levels(column).names == [None, "x%0A", "x%250A"]
    assert texts().slices([column], 4).objects().tolist() == ["(none)", "(none)", "x%0A", "x%250A"]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3), min_size=1, max_size=30))
def test_slices_of_many_fields_are_those_of_each_row(rows: list[list[str | None]]) -> None:
    columns = [Coded.of(column) for column in zip(*rows, strict=True)]
    found = texts().slices(columns, len(rows))
    names = [texts().name(row) for row in rows]
    assert (found.objects().tolist(), found.names) == (names, list(dict.fromkeys(names)))


def test_numbers_that_stand_for_missing_values() -> None:
    assert texts().missing_numbers == []
    assert texts(missing_values=["-999", "-9,5", "NA", "inf"]).missing_numbers == [-999.0, -9.5, float("inf")]
