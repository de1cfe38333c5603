"""The published contract is the code's: files up to date, records valid against them, garbage refused."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import publish
from schemas.codecs import (
    PARTIAL_KINDS,
    TYPES,
    DecodeError,
    Envelope,
    decode_event,
    decode_partial,
    encode_event,
    encode_partials,
)
from schemas.records import PaneBlock, PaneClosed, Record, record_id

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**53), 2**53),
    bool: st.booleans(),
    bytes: st.binary(max_size=30),
    float: st.floats(allow_nan=False, allow_infinity=False),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type, within its bounds."""
    if hasattr(kind, "__metadata__"):
        return _bounded(kind.__origin__, kind.__metadata__[0])
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return records(kind)
    origin, arguments = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if NoneType in arguments:
        return st.none() | values(next(part for part in arguments if part is not NoneType))
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        inner = st.one_of(st.booleans(), st.text(max_size=5)) if arguments[1] is Any else values(arguments[1])
        return st.dictionaries(st.text(max_size=5), inner, max_size=3)
    raise AssertionError(kind)


def _bounded(kind: Any, bounds: msgspec.Meta) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(bounds.ge, bounds.le)
    if kind is float:
        return st.floats(bounds.ge, bounds.le, allow_nan=False)
    if kind is str:
        return st.from_regex(bounds.pattern, fullmatch=True) if bounds.pattern else st.text(max_size=20)
    return values(kind)


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any record of a type."""
    fields = _fields(kind)
    return st.fixed_dictionaries(fields).map(lambda given_: kind(**given_))


def _fields(kind: type[Any]) -> dict[str, st.SearchStrategy[Any]]:
    from typing import get_type_hints

    hints = get_type_hints(kind, include_extras=True)
    return {field.name: values(hints[field.name]) for field in msgspec.structs.fields(kind)}


def test_published_files_are_up_to_date() -> None:
    assert publish.stale() == []


@pytest.mark.parametrize("name", sorted(TYPES))
def test_records_survive_the_wire_and_are_valid(name: str) -> None:
    schema = publish.schemas()[f"{name.removeprefix('driftflow.')}.json"]
    check = jsonschema.Draft202012Validator(schema)

    @given(records(TYPES[name]))
    def survives(record: Record) -> None:
        message = encode_event(Envelope(record, "1", "/s", 1_700_000_000_123, "a b"))
        assert decode_event(message.value, message.headers) == record
        check.validate(json.loads(message.value))

    survives()
    with pytest.raises(jsonschema.ValidationError):
        check.validate({})


@pytest.mark.parametrize("kind", [PaneBlock, PaneClosed])
def test_partials_survive_the_wire(kind: type[Any]) -> None:
    @given(records(kind))
    def survives(record: Any) -> None:
        (message,) = encode_partials([record])
        assert decode_partial(message.value, dict(message.headers)) == record

    survives()


@given(st.binary(max_size=200), st.sampled_from(sorted(TYPES)), st.sampled_from(sorted(PARTIAL_KINDS)))
def test_garbage_raises_decode_error_and_nothing_else(garbage: bytes, name: str, kind: bytes) -> None:
    for decode in (
        lambda: decode_event(garbage, [("ce_type", name.encode())]),
        lambda: decode_partial(garbage, {"kind": kind.encode()}),
    ):
        with pytest.raises(DecodeError):
            decode()


def test_ids_say_what_a_thing_is() -> None:
    assert record_id("incident", "s", 1) == record_id("incident", "s", 1) != record_id("incident", "s", 2)
