"""Values as names: the same for every spelling, apart for every difference."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stream_app.config import parse
from stream_app.stages.score.texts import Texts


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
    bodies = [SimpleNamespace(c=value) for value in values]
    levels = ["true", "1", "1", "true", "1", None, "false", "0", "x%0A"]
    assert texts().categories(bodies, "c") == levels
    assert texts().ids(bodies, "c") == [level or "" for level in levels]
    assert texts().slices(bodies, ["c", "c"])[:2] == ["true|true", "1|1"]
    assert texts().slices(bodies, []) == ["all"] * len(values)


def test_numbers_that_stand_for_missing_values() -> None:
    assert texts().missing_numbers == []
    assert texts(missing_values=["-999", "-9,5", "NA", "inf"]).missing_numbers == [-999.0, -9.5, float("inf")]
