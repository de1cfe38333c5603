"""JSON in columns: what is taken is what the row decoder makes of it, to the bit, and all that is plain is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flowlib.table import Ints
from stream_app.stages.batches import Bodies, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.json_columns import JsonColumns, json_columns
from tests.conftest import need
from tests.stages.score.bodies import decoded_both_ways
from tests.stages.score.plain import GOOD, body, config, raw, reader, taken, with_value

native = need("stream_app.native._rows")

PLAIN = [
    body(),
    body().replace(b" ", b""),
    b" \t\r\n" + body().replace(b" ", b"\n") + b"\n ",
    b"\0\0\0\0\x07" + body(),
    b"\0\0\0\0\x07 \n" + body(),
    json.dumps(GOOD, ensure_ascii=False).encode(),
    b'{"at":"2026-03-01"}',
    body(other={"deep": [1, {"x": "y"}, [], {}, "\ud800"]}, more=[True, None])[:-1] + b', "far": 1e999}',
    body(kind=None, site=True, x=None, n=None, id=None),
    body(kind=1.5, site=-0.0, id=7),
    body(kind="NA", site=" ", id="null"),
    body(kind="x\n", site='"\\', id="ü" * 300),
    body(y=None),
    body(y={}),
    body(y="text"),
    body(y={"x": 1}),
    json.dumps({"y.z": 4, **{name: value for name, value in GOOD.items() if name != "y"}}).encode(),
    *(with_value("x", text) for text in ("-0", "-0.0", "0e0", "1E5", "1e+05", "123456789.123456789", "5e-324")),
    *(with_value("x", text) for text in (str(2**53), str(-(2**53)), "1.7976931348623157e308", "0." + "0" * 400)),
    *(with_value("at", f'"2026-03-01{text}"') for text in ("", " 10:20", "T10:20", "T10:20:30", "T10:20Z")),
    *(with_value("at", f'"2026-03-01T10:20:30{text}"') for text in (".1", ",123456789Z", "+02:00", ".5-23:59")),
    with_value("at", '"1970-01-01T00:00:00Z"'),
    with_value("at", '"2999-12-31T23:59:59.999999Z"'),
    with_value("at", '"2000-02-29T12:00:00"'),
]


@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_what_is_plainly_as_it_should_be_is_taken(value: bytes) -> None:
    assert taken(body(), value, body()) == [True] * 3


LEFT = [
    None,
    b"",
    b"   ",
    b"{",
    b"{}",
    b"[]",
    b"null",
    body()[:-1],
    body() + b"{}",
    body() + b",",
    body()[:-1] + b",}",
    body() + b"\0",
    b"\xef\xbb\xbf" + body(),
    b"\0\0\0\0\0" + body(),
    b"\0{\0\0\x01" + body(),
    b"\3\0" + bytes(range(16)) + body(),
    body().decode().encode("utf-16"),
    body()[:-1] + b', "x": 2}',
    body()[:-1] + b', "y": 2}',
    body()[:-1] + b', "y.z": 2}',
    body()[:-1] + b', "\\u0078x": 2}',
    body()[:-1] + b', "more": "\xff"}',
    body()[:-1] + b', "more": "\xed\xa0\x80"}',
    body()[:-1] + b', "more": "\xc0\xaf"}',
    body()[:-1] + b', "more": "\xf4\x90\x80\x80"}',
    body()[:-1] + b', "more\xff": 1}',
    body()[:-1] + b', "more": "\\x"}',
    body()[:-1] + b', "more": "\n"}',
    body()[:-1] + b', "more": 01}',
    body()[:-1] + b', "more": 1.}',
    body()[:-1] + b', "more": tru}',
    body()[:-1] + b', "more": [1,]}',
    body()[:-1] + b', "more": ' + b"[" * 100 + b"]" * 100 + b"}",
    body(y=[1]),
    body(y={"z": "1"}),
    *(with_value("x", text) for text in ('"1"', "true", "NaN", "Infinity", "[1]", "{}", "1e400", "-1e999", "1e-400")),
    *(with_value("x", text) for text in (str(2**53 + 1), "9" * 500, "+1", ".5", "5.", "1,5", "--1", "0x1", "1 2")),
    *(with_value("at", text) for text in ("null", "5", '"now"', '"2026-03-01t10:20"', '"2026-03-01T10:20:30z"')),
    *(with_value("at", f'"2026-{text}"') for text in ("02-29", "13-01", "00-10", "1-1", "W10", "060", "04-31")),
    *(with_value("at", f'"2026-03-01T{text}"') for text in ("24:00", "10", "10:60", "10:20:60", "10:20:30.", "1020")),
    *(with_value("at", f'"2026-03-01T10:20{text}"') for text in ("+24:00", "+02", "+0200", "Z ", "+02:00:30", "ZZ")),
    with_value("at", '"2026-03-01T10:20\\u003a30"'),
    with_value("at", '"1969-12-31T23:59:59Z"'),
    with_value("at", '"3000-01-01T00:00:00Z"'),
    *(with_value("site", text) for text in ("[]", "{}", str(2**63), "1e999", '"\\ud800"', '"' + "x" * 2_000 + '"')),
    with_value("id", '"\\udc00"'),
    with_value("id", str(2**64)),
]


@pytest.mark.parametrize("value", LEFT, ids=range(len(LEFT)))
def test_what_is_anything_else_is_left_and_costs_its_neighbours_nothing(value: bytes | None) -> None:
    assert taken(body(), value, body()) == [True, False, True]


@pytest.mark.parametrize(
    ("format_", "right", "wrong"),
    [
        ("epoch_ms", ["0", "1362096000000", "1362096000000.75", "1.362096e12", "32503679999999"], ["32503680000000"]),
        ("epoch_s", ["0", "1362096000", "1362096000.25", "1362096000.0015", "32503679999"], ["32503680000", "1e17"]),
        (
            "epoch_us",
            ["0", "1362096000000250", "1362096000000999", "1362096000000250.5"],
            ["32503680000000000", "1e20"],
        ),
        ("epoch_ns", ["0", "1362096000123456789", "1362096000000000001"], ["18446744073709551615", "-1"]),
    ],
    ids=["milliseconds", "seconds", "microseconds", "nanoseconds"],
)
def test_times_in_numbers(format_: str, right: list[str], wrong: list[str]) -> None:
    wrong = [*wrong, "-1", "-0", "-0.5", '"5"', "true", "null", "1e400", "9" * 30]
    values = [with_value("at", text) for text in (*right, *wrong)]
    assert taken(*values, time_format=format_) == [True] * len(right) + [False] * len(wrong)


def test_a_time_with_two_readings_is_left_and_times_of_a_zone_are_taken() -> None:
    texts = ["2026-10-25T01:59:59", "2026-10-25T02:30:00", "2026-10-25T03:00:00", "2026-10-25T02:30:00+01:00"]
    values = [with_value("at", f'"{text}"') for text in (*texts, "2026-03-29T02:30:00", "0001-01-01", "9999-12-31")]
    assert taken(*values, timezone="Europe/Berlin") == [True, False, True, True, False, False, False]


@pytest.mark.parametrize(
    "event",
    [{"time_format": "%Y-%m-%d"}, {"missing_values": ["1970-01-01"]}, {"timezone": "Europe/Berlin"}],
    ids=["pattern", "time for none", "zone"],
)
def test_streams_that_are_read_row_by_row_have_no_column_reader(event: dict[str, object]) -> None:
    assert (json_columns(config(**event).event, []) is None) == ("timezone" not in event)


def test_without_the_extension_all_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.stages.score.json_columns._rows", None)
    assert json_columns(config().event, ["kind"]) is None
    assert len(Decoder(config()).decode(raw(body()))[0]) == 1


def test_no_body_that_is_read_becomes_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, bodies = Decoder(config()), Bodies.of([body(x=i) for i in range(50)])
    monkeypatch.setattr(Bodies, "__getitem__", lambda *_: pytest.fail("a body was asked for"))
    events, rejects = decoder.decode(RawBatch("e", 0, np.arange(50), bodies))
    assert (events.numeric[:, 0].tolist(), rejects) == (list(range(50)), [])


def test_numbers_that_name_slices_do_so_in_the_order_in_which_they_come() -> None:
    events, _ = decoded_both_ways(config(), raw(*(body(n=n) for n in (3, 1, 2.5, 3))))
    assert events.slices[3].names == ["3", "1", "2.5"]


def test_larger_bodies_are_left() -> None:
    assert taken(body(), body(pad="x" * 100), max_bytes=len(body())) == [True, False]


def test_texts_are_forgotten_where_they_are_too_many() -> None:
    """Else memory grows with the devices that there ever were."""
    cfg = config(slicings=[["site"]], categorical=[], id_field="", numeric=["x"])
    decoder = Decoder(cfg)
    columns = decoder._columns
    assert isinstance(columns, JsonColumns)
    values = [b'{"at": "2026-03-01", "x": 1, "site": "a%d"}' % i for i in range(140_000)]
    for batch in (
        values,
        [value.replace(b'"a', b'"b').replace(b'"bt"', b'"at"') for value in values],
        values[:10],
        values[5:15],
    ):
        events, _ = decoder.decode(raw(*batch))
        assert events.slices[0].names == [value.split(b'"')[-2].decode() for value in batch]
    assert len(columns._pool) < 100


def test_texts_that_nobody_took_note_of_are_told_again() -> None:
    """As where a signal comes between reading and taking note."""
    columns = reader(config())
    values = [body(site=f"s{i}") for i in range(5)]
    columns.read(Bodies.of(values[:2]))
    columns._pool._size -= 1
    assert columns.read(Bodies.of(values)).texts[1].objects().tolist() == [f"s{i}" for i in range(5)]
    for _ in range(9):
        columns._pool.add("wrong")
    assert columns.read(Bodies.of(values)).texts[1].objects().tolist() == [f"s{i}" for i in range(5)]


def test_bodies_that_lie_beyond_the_buffer_are_refused() -> None:
    columns, far = reader(config()), np.iinfo(np.int64)
    for first, size in ((0, 3), (2, 1), (-1, 1), (far.max, 1), (1, far.max), (far.min, far.max)):
        with pytest.raises(ValueError, match="beyond the buffer"):
            columns.read(Bodies(b"{}", np.array([first]), np.array([size])))
    found = columns.read(Bodies(b"{}", np.array([99]), np.array([-1])))
    assert found.read.tolist() == [False]


COLUMNS: dict[str, Callable[[int], Any]] = {
    "first": lambda n: np.zeros(n, np.int64),
    "size": lambda n: np.zeros(n, np.int64),
    "read": lambda n: np.zeros(n, bool),
    "local": lambda n: np.zeros(n, bool),
    "time_ms": lambda n: np.zeros(n, np.int64),
    "numeric": lambda n: np.zeros((n, 1)),
    "codes": lambda n: np.zeros((1, n), np.int64),
    "id_first": lambda n: np.zeros(n, np.int64),
    "id_size": lambda n: np.zeros(n, np.int64),
}


@pytest.mark.parametrize("name", list(COLUMNS))
def test_columns_of_another_kind_are_refused(name: str) -> None:
    made = native.Reader([("t", 0, b"at", ()), ("n", 0, b"x", ()), ("x", 0, b"s", ())], 1, 1, "iso8601", True, 99, 0)
    right = {column: make(2) for column, make in COLUMNS.items()}
    assert made.read(0, b"{}", *right.values())[0] == 0
    wrong: list[Any] = [right[name][:1].copy(), right[name].astype(np.float32), None, right[name].tobytes()]
    if name == "codes":
        wrong[0] = np.zeros((1, 1), np.int64)
    for column in wrong:
        with pytest.raises(ValueError, match="size" if name == "first" and column is wrong[0] else name):
            made.read(0, b"{}", *(right | {name: column}).values())


@pytest.mark.parametrize(
    "field",
    [("n", 1, b"x", ()), ("x", 1, b"x", ()), ("n", -1, b"x", ()), ("q", 0, b"x", ()), ("t", 0, b"at", ())],
    ids=["number", "text", "negative", "kind", "twice"],
)
def test_fields_without_a_place_are_refused(field: tuple[str, int, bytes, tuple[bytes, ...]]) -> None:
    with pytest.raises(ValueError, match=r"no such column|two fields"):
        native.Reader([("t", 0, b"at", ()), field], 1, 1, "iso8601", True, 99, 0)


def test_texts_of_bytes() -> None:
    whole = b'"a\xc3\xbc" null 17 -3 "\\n" 1.5 true'
    bounds: Ints = np.array([[0, 5], [6, 4], [11, 2], [14, 2], [17, 4], [22, 3], [26, 4], [0, -1]]).T.copy()
    texts, others = native.plain_texts(whole, *bounds)
    assert texts == ["aü", None, "17", None, None, None, None, None]
    assert others == [(3, b"-3"), (4, b'"\\n"'), (5, b"1.5"), (6, b"true")]
