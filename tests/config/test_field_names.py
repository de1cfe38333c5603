"""Names of fields: dots that lead somewhere, dots that do not, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.config import parse
from stream_app.config.field_names import literal, steps
from stream_app.config.loading import ConfigError


@pytest.mark.parametrize(
    ("name", "whole", "path"),
    [
        ("TEMP", "TEMP", ()),
        ("payload.amount", "payload.amount", ("payload", "amount")),
        ("items.0.price", "items.0.price", ("items", "0", "price")),
        (r"PM2\.5", "PM2.5", ()),
        (r"air.PM2\.5", "air.PM2.5", ("air", "PM2.5")),
        (r"a\\.b", "a\\.b", ("a\\", "b")),
        (r"C:\temp", r"C:\temp", ()),
        (".a.", ".a.", ("", "a", "")),
        ("\\", "\\", ()),
    ],
)
def test_literal_and_steps(name: str, whole: str, path: tuple[str, ...]) -> None:
    assert (literal(name), steps(name)) == (whole, path)


@given(st.lists(st.text(st.sampled_from("ab.\\")), min_size=2, max_size=4))
def test_every_path_can_be_written(path: list[str]) -> None:
    name = ".".join(step.replace("\\", "\\\\").replace(".", "\\.") for step in path)
    assert steps(name) == tuple(path)
    assert literal(name) == ".".join(path)


def config_of(**event: object) -> object:
    given = {"time_field": "t", "numeric": ["x"], **event}
    return parse({"stream": "s", "topics": {"events": "e"}, "event": given})


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"policy": {"y": "strict"}}, "event.policy: 'y' is no field named here; known are \\*, t, x"),
        ({"policy": {"x": "lax"}}, "event.policy"),
        ({"policy": {"t": "text"}}, "event.policy: 't' is no number, and only of numbers"),
        ({"numeric": ["a.b", r"a\.b"]}, "'a.b' is listed twice"),
        ({"slicings": [["a.b"], [r"a\.b"]]}, "'a.b' and .* are of one field: write its name in one way"),
        ({"numeric": ["a.b"], "id_field": r"a\.b"}, "are of one field"),
        ({"categorical": ['a"b']}, "holds a quote, a backslash or a control character"),
        ({"time_field": r"a\.b", "numeric": ["a.b"]}, "is also a feature"),
        ({"slicings": [["a", ""]]}, "the name of a field is empty"),
        ({"slicings": [["a"], ["a"]]}, "each slicing once"),
        ({"sensitive": ["y"]}, "event.sensitive: 'y' is no field named here; known are t, x"),
        ({"sensitive": ["t"]}, "event.sensitive: 't' is the time or names slices"),
        ({"sensitive": ["a.b"], "slicings": [["a.b"]]}, "event.sensitive: 'a.b' is the time or names slices"),
        ({"units": {"c": "m"}, "categorical": ["c"]}, "event.units: 'c' is none of event.numeric; known are x"),
        ({"units": {"x": ""}}, "event.units: of 'x' 1 to 40 letters expected, got 0"),
        ({"units": {"x": "m" * 41}}, "event.units: of 'x' 1 to 40 letters expected, got 41"),
    ],
)
def test_what_is_refused(event: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config_of(**event)


def test_slicings_that_only_look_alike_are_two() -> None:
    config = config_of(slicings=[["a+b", "c"], ["a", "b+c"], ["all"], []], policy={"*": "lenient", "x": "strict"})
    assert config.slicing_names == ["a%2Bb+c", "a+b%2Bc", "%61ll", "all"]  # type: ignore[attr-defined]


def test_numbers_categories_and_ids_may_be_sensitive() -> None:
    fields = ["x", "c", "id", "k"]
    config = config_of(categorical=["c"], id_field="id", key=["k"], sensitive=fields, units={"x": "°C"})
    assert config.event.sensitive == fields  # type: ignore[attr-defined]
    assert config.event.units == {"x": "°C"}  # type: ignore[attr-defined]
