"""Schemas: names found as Avro finds them, and refused where no body could be read by them in bounded work."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stream_app.stages.score.formats.avro_schema import TEXT_MAX, BadSchema, Type, parse_schema
from tests.stages.score.formats.making import record


def parsed(*schemas: Any) -> Type:
    return parse_schema([json.dumps(schema) for schema in schemas])


def test_names_are_found_in_their_namespaces() -> None:
    inner = {**record(("x", "int"), name="Inner"), "namespace": "a.b"}
    outer = {**record(("one", inner), ("two", "a.b.Inner"), ("three", "Local"), name="Outer"), "namespace": "c"}
    local = {"type": "enum", "name": "c.Local", "symbols": ["A"]}
    made = parsed(local, outer)
    one, two, three = (field.type for field in made.fields)
    assert one is two
    assert three.symbols == ["A"]


def test_a_type_that_holds_itself_is_there_once() -> None:
    tree = record(("left", ["null", "Tree"]), ("size", "int"), name="Tree")
    made = parsed(tree)
    assert made.fields[0].type.inner[1] is made
    assert (made.least, made.fields[0].type.least) == (2, 1)
    pair = [record(("other", ["null", "B"]), name="A"), record(("a", "A"), ("n", "long"), name="B")]
    with pytest.raises(BadSchema, match="names a type 'B' that it does not have"):
        parsed(*pair)


def test_least_widths() -> None:
    fixed = {"type": "fixed", "name": "F", "size": 3}
    made = parsed(record(("a", "double"), ("b", fixed), ("c", "null"), ("d", {"type": "map", "values": "int"})))
    assert made.least == 12


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "record", "name": "N", "fields": [{"name": "next", "type": "N"}]}, "holds itself without an end"),
        ([], "holds itself without an end"),
        (record(("x", "Nothing")), "names a type 'Nothing'"),
        (record(("x", record(("y", "int"), name="Event"))), "two types 'Event'"),
        ({"type": "record", "name": "R"}, "is no Avro schema"),
        ({"type": "fixed", "name": "F", "size": -1}, "is no Avro schema"),
        ({"type": "fixed", "name": "F", "size": 2**31}, "is no Avro schema"),
        ({"type": "fixed", "name": "F", "size": math.inf}, "is no Avro schema"),
        (["null", ["null", "int"]], "a union within a union"),
        (3, "is no Avro schema"),
        (record(*((f"f{i}", "int") for i in range(3_000))), "more than 2,000 types"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 10**9}, "a scale of 1000000000"),
    ],
    ids=[
        "endless",
        "empty union",
        "unknown",
        "twice",
        "no fields",
        "size",
        "large",
        "infinite",
        "union",
        "number",
        "many",
        "scale",
    ],
)
def test_schemas_of_no_use(schema: Any, says: str) -> None:
    with pytest.raises(BadSchema, match=says):
        parsed(schema)


def test_records_of_two_each_have_no_size_beyond_all_numbers() -> None:
    chain = [record(("a", "int"), name="R0")]
    chain += [record(("a", f"R{i - 1}"), ("b", f"R{i - 1}"), name=f"R{i}") for i in range(1, 1_200)]
    assert 2**30 < parsed(*chain).least < math.inf


def test_texts_of_no_use() -> None:
    for text, says in (
        ("{", "is no Avro schema"),
        ('"' + "x" * TEXT_MAX + '"', "characters"),
        ("[" * 100_000, "nested too deeply|no Avro schema"),
    ):
        with pytest.raises(BadSchema, match=says):
            parse_schema([text])
    with pytest.raises(BadSchema, match="there is none"):
        parse_schema([])


def test_logical_types_that_are_not_known_are_passed_over() -> None:
    odd = {"type": "string", "logicalType": "postcode"}
    wrong = {"type": "string", "logicalType": "timestamp-millis"}
    short = {"type": "fixed", "name": "U", "size": 4, "logicalType": "uuid"}
    assert [field.type.logical for field in parsed(record(("a", odd), ("b", wrong), ("c", short))).fields] == [""] * 3
