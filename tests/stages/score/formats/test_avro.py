"""Avro: written by fastavro, read side by side and row by row alike; schemas that change; bytes that lie."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.config import Config
from stream_app.stages.batches import Bodies, EventBatch, RawBatch
from stream_app.stages.score.checks import check_decoder
from stream_app.stages.score.coercion import text_of
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.first_events import FirstEvents
from stream_app.stages.score.formats.avro import AvroObjects, avro_decoder
from stream_app.stages.score.formats.avro_rows import VALUES_MAX
from stream_app.stages.score.formats.avro_schema import parse_schema
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.stages.score.objects import objects_of
from stream_app.stages.score.rejects import Reject
from tests.stages.score.formats.making import (
    GOOD,
    PLAIN,
    T0,
    TEXTS,
    as_plain,
    config,
    framed,
    of_avro,
    record,
    with_registry,
    zigzag,
)

EVENT = as_plain(GOOD)


def decode(stream: Config, *bodies: bytes | None) -> tuple[EventBatch, list[Reject]]:
    return Decoder(stream).decode(RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def read_by_columns(stream: Config, *bodies: bytes) -> list[bool]:
    """Which rows are read side by side."""
    return list(Decoder(stream)._columns.read(Bodies.of(bodies)).read.tolist())


def test_golden_bytes(tmp_path: Path) -> None:
    golden = bytes.fromhex("80b0fcb3a44f02000000000000224002000000bf020600043132020e00")
    stream = config("avro", tmp_path, PLAIN)
    assert of_avro(PLAIN, {**EVENT, "station": "12"}) == golden
    assert read_by_columns(stream, golden) == [True]
    events, rejects = decode(stream, golden)
    assert not rejects
    assert events.event_time_ms.tolist() == [T0]
    assert events.numeric.tolist() == [[9.0, -0.5]]
    assert (events.slices[0].objects().tolist(), events.ids) == (["12"], ["7"])


def test_it_passes_the_generic_checks(tmp_path: Path) -> None:
    schema = record(
        ("at", "long"),
        {"name": "pm", "type": ["null", "double", "string", "boolean"], "aliases": ["PM2.5"]},
        ("TEMP", ["null", "double", "string", "boolean", "long"]),
        ("wd", ["int", "double"]),
        ("station", ["null", "string", "int"]),
        ("id", "long"),
    )
    event = {**GOOD, "pm": GOOD["PM2.5"]}
    loose = {
        of_avro(schema, {**event, "TEMP": "-12,5"}): ("TEMP", -12.5),
        of_avro(schema, {**event, "TEMP": True}): ("TEMP", 1),
        of_avro(schema, {**event, "TEMP": float("inf")}): ("TEMP", float("inf")),
        of_avro(schema, {**event, "pm": "1e3"}): ("PM2.5", 1000.0),
    }
    stream = config("avro", tmp_path, schema)
    make = partial(avro_decoder, schemas=Schemas(stream))
    check_decoder(make, of_avro(schema, event), GOOD, stream.event, TEXTS, loose)


LOGICAL = [
    ({"type": "long", "logicalType": "timestamp-micros"}, T0 * 1000 + 999, True),
    ({"type": "long", "logicalType": "timestamp-nanos"}, T0 * 1_000_000, True),
    ({"type": "long", "logicalType": "local-timestamp-millis"}, T0, False),
    ({"type": "int", "logicalType": "date"}, date(2013, 3, 1), False),
    ("string", "2013-03-01T00:00:00Z", False),
]


@pytest.mark.parametrize(("kind", "value", "plain"), LOGICAL, ids=["micros", "nanos", "local", "date", "text"])
def test_times_have_types_of_their_own(tmp_path: Path, kind: Any, value: Any, plain: bool) -> None:
    schema = record(("at", kind), ("TEMP", "double"))
    bare = kind["type"] if isinstance(kind, dict) and kind["logicalType"] != "date" else kind
    body = of_avro(record(("at", bare), ("TEMP", "double")), {"at": value, "TEMP": 1.0})
    stream = config("avro", tmp_path, schema, time_format="iso8601")
    events, rejects = decode(stream, body)
    assert not rejects
    assert events.event_time_ms.tolist() == [T0]
    assert read_by_columns(stream, body) == [plain]


def test_numbers_of_every_kind(tmp_path: Path) -> None:
    money = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    fixed = {"type": "fixed", "name": "F", "size": 6, "logicalType": "decimal", "precision": 10, "scale": 3}
    schema = record(("at", "long"), {"name": "pm", "type": money, "aliases": ["PM2.5"]}, ("TEMP", fixed))
    stream = config("avro", tmp_path, schema)
    amounts = ["-1234567890.12", "0.10", "0.00", "99.99"]
    bodies = [of_avro(schema, {"at": T0, "pm": Decimal(one), "TEMP": Decimal(one[-5:] + "5")}) for one in amounts]
    events, rejects = decode(stream, *bodies)
    assert not rejects
    assert read_by_columns(stream, *bodies) == [True] * 4
    assert events.numeric.tolist() == [[float(one), float(one[-5:] + "5")] for one in amounts]
    rows = avro_decoder(stream.event, TEXTS, Schemas(stream))
    assert [rows(body).n0 for body in bodies] == [float(one) for one in amounts]


def test_enums_booleans_and_records_within_records(tmp_path: Path) -> None:
    wind = {"type": "enum", "name": "Wind", "symbols": ["N", "S"]}
    after = record(("TEMP", ["null", "float"]), ("wd", wind), ("station", "boolean"), name="After")
    schema = record(("op", "string"), ("at", "long"), ("after", ["null", after]))
    names = {"numeric": ["after.TEMP"], "categorical": ["after.wd"], "slicings": [["after.station"]], "id_field": ""}
    stream = config("avro", tmp_path, schema, **names)
    inner = [{"TEMP": 1.5, "wd": "S", "station": True}, None, {"TEMP": None, "wd": "N", "station": False}]
    bodies = [of_avro(schema, {"op": "u" * i, "at": T0 + i, "after": one}) for i, one in enumerate(inner)]
    events, rejects = decode(stream, *bodies)
    assert not rejects
    assert read_by_columns(stream, *bodies) == [True] * 3
    assert [None if np.isnan(x) else x for x in events.numeric[:, 0].tolist()] == [1.5, None, None]
    assert events.slices[0].objects().tolist() == ["true", "(none)", "false"]


def test_the_readers_schema_has_aliases_and_defaults() -> None:
    reader = parse_schema([json.dumps(record(
        ("at", "long"),
        {"name": "PM2_5", "type": "double", "aliases": ["dust"], "default": 5.0},
        {"name": "TEMP", "type": ["null", "double"], "default": None},
        {"name": "station", "type": "string", "default": "Dongsi"},
    ))])  # fmt: skip
    stream = with_registry(numeric=["PM2_5", "TEMP"], categorical=[], id_field="")
    old, new = record(("at", "long"), ("dust", "int")), record(("station", "string"), ("TEMP", "float"), ("at", "long"))
    decoder = Decoder(stream)
    decoder.schemas.own = reader
    decoder.schemas.add(7, [json.dumps(old)])
    decoder.schemas.add(8, [json.dumps(new)])
    bodies = [
        framed(7, of_avro(old, {"at": T0, "dust": 3})),
        framed(8, of_avro(new, {"station": "Tiantan", "TEMP": 0.5, "at": T0})),
        framed(9, b"\0"),
    ]
    events, rejects = decoder.decode(RawBatch("e", 0, np.arange(3), bodies))
    assert decoder._columns.read(Bodies.of(bodies)).read.tolist() == [True, True, False]
    assert np.array_equal(events.numeric, [[3.0, np.nan], [5.0, 0.5]], equal_nan=True)
    assert events.slices[0].objects().tolist() == ["Dongsi", "Tiantan"]
    assert [(reject.row, reject.reason) for reject in rejects] == [(2, "unknown_schema")]
    assert "schema id 9 has not been fetched from http://registry:8081" in rejects[0].detail
    rows = AvroObjects(decoder.schemas, ["at", "PM2_5", "TEMP", "station"])
    assert rows.read(bodies[0]) == {"at": T0, "PM2_5": 3, "TEMP": None, "station": "Dongsi"}


def test_lists_and_maps_are_read_where_they_are_wanted_and_stepped_over_where_not(tmp_path: Path) -> None:
    item = record(("price", "double"), ("tags", {"type": "array", "items": "null"}), name="Item")
    schema = record(
        ("at", "long"), ("notes", {"type": "map", "values": ["null", "string"]}),
        ("items", {"type": "array", "items": item}),
        ("more", {"type": "array", "items": {"type": "array", "items": "int"}}),
    )  # fmt: skip
    names = {"numeric": ["items.1.price"], "categorical": ["notes.by"], "slicings": [[]], "id_field": ""}
    items = [{"price": i + 0.5, "tags": [None] * i} for i in (0, 1)]
    event = {"at": T0, "notes": {"by": "me", "x": None}, "items": items, "more": [[1, 2], []]}
    body = of_avro(schema, event)
    stream = config("avro", tmp_path, schema, **names)
    events, rejects = decode(stream, body)
    assert not rejects
    assert events.numeric.tolist() == [[1.5]]
    assert read_by_columns(stream, body) == [False]
    stepped, _ = decode(config("avro", tmp_path, schema, **{**names, "numeric": ["at"], "time_field": "when"}), body)
    assert len(stepped) == 0


NESTED = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}
MANY = VALUES_MAX + 1


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (NESTED, b"\x02" * 500_000, "nested too deeply"),
        ({"type": "array", "items": "null"}, zigzag(2**62) + b"\0", "more than 100,000 records and elements"),
        ({"type": "array", "items": "int"}, zigzag(2**62) + b"\0", "a block of 4611686018427387904 elements"),
        ({"type": "array", "items": "int"}, zigzag(MANY) + b"\0" * (MANY + 1), "more than 100,000"),
        ({"type": "array", "items": "int"}, zigzag(-1) + zigzag(2**62), "a block of 4611686018427387904 bytes"),
        ({"type": "array", "items": "int"}, zigzag(-(2**63)) + zigzag(0), "a block of 9223372036854775808 elements"),
        ({"type": "map", "values": "null"}, zigzag(3) + b"\0\0", "a block of 3 elements where 2 bytes"),
        ("string", zigzag(2**40), "1099511627776 bytes where 0 are left"),
        ("string", zigzag(-1), "-1 bytes where"),
        ("bytes", zigzag(5) + b"abc", "5 bytes where 3 are left"),
        ("long", b"\xff" * 100_000, "beyond 64 bits"),
        ("long", b"\xff" * 5, "ends within a value"),
        ("double", b"\0" * 7, "ends within a value"),
        (["null", "int"], zigzag(2), "branch of a union 2 of 2"),
        (["null", "int"], zigzag(-1), "branch of a union -1 of 2"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, zigzag(1), "symbol of an enum 1 of 1"),
        ("boolean", b"\x02", "boolean 2 of 2"),
        ({"type": "fixed", "name": "F", "size": 9}, b"\0" * 8, "ends within a value"),
        ("int", b"\0\0\0", "2 bytes are left behind"),
        ({"type": "int", "logicalType": "date"}, zigzag(2**31), "date of it is out of range"),
    ],
    ids=[
        "deep", "nulls", "count", "many", "block", "least", "map", "length", "negative", "bytes", "varint", "cut",
        "double", "branch", "no branch", "symbol", "boolean", "fixed", "behind", "date",
    ],
)  # fmt: skip
@pytest.mark.parametrize("wanted", [True, False], ids=["read", "stepped over"])
def test_bytes_that_lie(tmp_path: Path, kind: Any, body: bytes, says: str, wanted: bool) -> None:
    """Whatever a body says, it is refused, or read, by work and memory in proportion to its bytes."""
    schema = record(("at", "long"), ("TEMP", "double"), ("x", kind))
    raw = of_avro(record(("at", "long"), ("TEMP", "double")), {"at": T0, "TEMP": 1.0}) + body
    stream = config("avro", tmp_path, schema, categorical=["x"] if wanted else [])
    events, rejects = decode(stream, raw)
    assert len(events) + len(rejects) == 1
    if wanted or not events:
        assert rejects[0].reason == "not_avro"
        assert says in rejects[0].detail or not wanted
    rows = avro_decoder(stream.event, stream.event.categorical, Schemas(stream))
    if len(events):
        assert rows(raw).n1 == 1.0


def test_texts_that_are_no_utf8_are_told_with_their_field(tmp_path: Path) -> None:
    schema = record(("at", "long"), ("TEMP", "double"), ("station", "bytes"))
    raw = of_avro(schema, {"at": T0, "TEMP": 1.0, "station": b"\xff\xfe"})
    for kind, what in (("string", "no UTF-8"), ("bytes", "2 bytes of binary data")):
        stream = config("avro", tmp_path, record(("at", "long"), ("TEMP", "double"), ("station", kind)))
        _, (reject,) = decode(stream, raw)
        assert (reject.reason, reject.field) == ("wrong_type", "station")
        assert what in reject.detail


def test_what_is_no_avro_says_what_it_may_be(tmp_path: Path) -> None:
    stream = config("avro", tmp_path, PLAIN)
    _, rejects = decode(stream, b'{"at": 1}', framed(7, of_avro(PLAIN, {**EVENT, "station": "12"})), b"")
    assert "it begins like JSON" in rejects[0].detail
    assert "Confluent's header, schema id 7: see schema_registry.url" in rejects[1].detail
    _, (reject,) = Decoder(with_registry()).decode(RawBatch("e", 0, np.arange(1), [b'{"at": 1}']))
    assert reject.reason == "schema_registry"


LEAST = -(2**63)


@pytest.mark.parametrize(
    ("kind", "time_format"),
    [
        ("long", "epoch_ms"),
        ("long", "epoch_s"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 19}, "epoch_ms"),
    ],
    ids=["milliseconds", "seconds", "decimal"],
)
def test_the_smallest_whole_number_is_the_same_to_columns_and_rows(tmp_path: Path, kind: Any, time_format: str) -> None:
    """It has no absolute value among 64 bits, and a thousand times it would be 0."""
    of_time = LEAST if time_format == "epoch_s" else 1_700_000_000_000
    value = b"\x10" + LEAST.to_bytes(8, "big", signed=True) if kind != "long" else zigzag(LEAST)
    stream = config("avro", tmp_path, record(("at", "long"), ("TEMP", kind)), time_format=time_format)
    assert read_by_columns(stream, zigzag(of_time) + value) == [False]
    events, rejects = decode(stream, zigzag(of_time) + value)
    assert (len(events), [reject.reason for reject in rejects]) == (
        (0, ["bad_time"]) if time_format == "epoch_s" else (1, [])
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [("boolean", b"\x02"), ({"type": "enum", "name": "E", "symbols": ["a"]}, zigzag(1))],
    ids=["boolean", "enum"],
)
def test_what_stands_where_an_object_is_looked_for_is_the_row_decoders(tmp_path: Path, kind: Any, value: bytes) -> None:
    schema = record(("at", "long"), ("place", ["null", kind]), ("TEMP", "double"))
    stream = config("avro", tmp_path, schema, categorical=["place.id"])
    before, after = zigzag(T0), of_avro(record(("TEMP", "double")), {"TEMP": 1.0})
    assert read_by_columns(stream, before + zigzag(1) + value + after) == [False]
    events, rejects = decode(stream, before + zigzag(1) + value + after, before + zigzag(0) + after)
    assert (events.rows.tolist(), [reject.reason for reject in rejects]) == ([1], ["not_avro"])


def test_an_enum_without_symbols_has_no_value(tmp_path: Path) -> None:
    kind = {"type": "enum", "name": "E", "symbols": []}
    schema = record(("at", "long"), ("TEMP", "double"), ("id", kind))
    raw = of_avro(record(("at", "long"), ("TEMP", "double")), {"at": T0, "TEMP": 1.0}) + zigzag(0)
    _, (reject,) = decode(config("avro", tmp_path, schema), raw)
    assert (reject.reason, "symbol of an enum 0 of 0" in reject.detail) == ("not_avro", True)


def varints(seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(rng.integers(-(2**63), 2**63 - 1)) >> int(rng.integers(0, 63)) for _ in range(500)]


def test_damaged_bodies_are_the_same_to_columns_and_rows(tmp_path: Path) -> None:
    """Where a row is read side by side, the row decoder makes the same of it."""
    stream = config("avro", tmp_path, PLAIN)
    rows, rng = avro_decoder(stream.event, TEXTS, Schemas(stream)), np.random.default_rng(5)
    good = [of_avro(PLAIN, {**EVENT, "station": n, "wd": None}) for n in varints(3)]
    damaged = [bytes(flipped(body, rng)) for body in good] + [body[: len(body) // 2] for body in good]
    columns = Decoder(stream)._columns.read(Bodies.of([*good, *damaged]))
    assert columns.read[: len(good)].mean() > 0.99
    assert 0 < columns.read[len(good) :].sum() < len(damaged)
    for i in np.flatnonzero(columns.read).tolist():
        one = rows([*good, *damaged][i])
        assert (one.t, one.coerced) == (columns.time_ms[i], 0)
        expected = [np.nan if value is None else value for value in (one.n0, one.n1)]
        assert np.array_equal(columns.numeric[i], expected, equal_nan=True)
        texts = [None if text is None else text_of(text) for text in (one.c0, one.c1)]
        assert [column.objects()[i] for column in columns.texts] == texts


def flipped(body: bytes, rng: np.random.Generator) -> bytearray:
    made = bytearray(body)
    made[int(rng.integers(len(body)))] = int(rng.integers(256))
    return made


def test_whole_bodies_have_configured_names_and_all_others(tmp_path: Path) -> None:
    stream = config("avro", tmp_path, PLAIN)
    body = of_avro(PLAIN, {**EVENT, "station": "12", "ignored": "x"})
    objects = objects_of(stream.event, Schemas(stream))
    assert objects(body) == {**GOOD, "station": "12", "ignored": "x"}
    first = FirstEvents(stream.event, objects)
    first.take([body])
    first.check()
    assert first.enough


def test_bodies_lie_anywhere_in_a_buffer(tmp_path: Path) -> None:
    bodies = [of_avro(PLAIN, {**EVENT, "station": str(i), "TEMP": float(i)}) for i in range(50)]
    buffer, first = b"\xff" * 1_000, []
    for i, body in enumerate(bodies):
        buffer += b"\xff" * (i % 5)
        first.append(len(buffer))
        buffer += body
    size = np.array([len(body) for body in bodies])
    columns = Decoder(config("avro", tmp_path, PLAIN))._columns.read(Bodies(buffer, np.array(first), size))
    assert columns.read.all()
    assert columns.numeric[:, 1].tolist() == list(range(50))
    assert columns.texts[1].objects().tolist() == [str(i) for i in range(50)]


def test_records_that_double_without_a_byte(tmp_path: Path) -> None:
    """2⁴⁰ records of nothing, in forty types: what is wanted of them is refused, and they are stepped over at once."""
    kind: Any = record(("nothing", "null"), name="A0")
    for level in range(1, 41):
        kind = record(("x", kind), ("y", f"A{level - 1}"), name=f"A{level}")
    schema = record(("at", "long"), ("TEMP", "double"), ("x", kind))
    raw = of_avro(record(("at", "long"), ("TEMP", "double")), {"at": T0, "TEMP": 1.0})
    _, (reject,) = decode(config("avro", tmp_path, schema, categorical=["x"]), raw)
    assert "more than 100,000 records and elements" in reject.detail
    events, _ = decode(config("avro", tmp_path, schema, categorical=[]), raw)
    assert events.numeric[0, 1] == 1.0
