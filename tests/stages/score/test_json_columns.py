"""JSON in columns: what is taken is what the row decoder makes of it, to the bit, and all that is plain is taken."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from stream_app.config import Config, parse
from stream_app.stages.batches import Bodies, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.json_columns import JsonColumns, json_columns
from tests.conftest import need
from tests.stages.score.bodies import assert_alike, decoded_both_ways, row_by_row

native = need("stream_app.native._rows")

EVENT: dict[str, Any] = {
    "time_field": "at",
    "numeric": ["x", "y.z", "n"],
    "categorical": ["kind"],
    "slicings": [["site"], ["site", "kind"], [], ["n"]],
    "id_field": "id",
}
GOOD = {"at": "2026-03-01T10:20:30.123Z", "x": 1.25, "y": {"z": -7}, "n": 3, "kind": "N", "site": "Zürich", "id": "a-1"}


def config(**event: object) -> Config:
    return parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}})


def raw(*bodies: bytes | None) -> RawBatch:
    return RawBatch("e", 0, np.arange(len(bodies)), list(bodies))


def reader(cfg: Config) -> JsonColumns:
    found = json_columns(cfg.event, ["kind", "site"])
    assert found is not None
    return found


def taken(*bodies: bytes | None, **event: object) -> list[bool]:
    """Which bodies the column reader takes; what it makes of them is what the row decoder does."""
    cfg = config(**event)
    decoded_both_ways(cfg, raw(*bodies))
    return list(reader(cfg).read(Bodies.of(bodies)).read.tolist())


def body(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def with_value(field: str, written: str | bytes) -> bytes:
    """The good body with something written as the value of a field."""
    mark = json.dumps(GOOD[field]).encode()
    return body().replace(b'"%s": %s' % (field.encode(), mark), b'"%s": %s' % (field.encode(), _bytes(written)))


def _bytes(written: str | bytes) -> bytes:
    return written if isinstance(written, bytes) else written.encode()


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
    ],
    ids=["milliseconds", "seconds"],
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


def test_larger_bodies_are_left() -> None:
    assert taken(body(), body(pad="x" * 100), max_bytes=len(body())) == [True, False]


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.floats(allow_nan=False).map(lambda value: format(value, ".17g")),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.integers().map(str),
    st.sampled_from(["-0", "1e400", "1e-400", "0e999", "9007199254740993", "9007199254740993.0", "1e22", "1e23"]),
    st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=40))
@example(["2.2250738585072011e-308", "1.00000000000000011102230246251565404236316680908203125", "0.1e-0"])
def test_every_number_is_the_nearest_double(numbers: list[str]) -> None:
    decoded_both_ways(config(), raw(*(with_value("x", number) for number in numbers)))


TIMES = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.from_regex(
        r"(19|20|29)[0-9]{2}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,9})?)?"
        r"(Z|[+-][0-2][0-9]:[0-6][0-9])?)?",
        fullmatch=True,
    ),
    st.text(max_size=25),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=40), st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]))
def test_every_time_is_the_one_that_python_reads(times: list[str], zone: str) -> None:
    cfg = config(timezone=zone)
    decoded_both_ways(cfg, raw(*(with_value("at", json.dumps(text)) for text in times)))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["NA", "1,5", "a", "b", "1", 1, 1.0, True, "2026-03-01", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["z", "x", ""]), inner, max_size=2),
)
KEYS = st.sampled_from(["at", "x", "y", "y.z", "n", "kind", "site", "id", "other", ""])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A good body with some of its fields, or others, of any value; now and then twice, or of any bytes."""
    fields = {**GOOD, **draw(st.dictionaries(KEYS, VALUES, max_size=3))}
    for name in draw(st.lists(KEYS, max_size=2)):
        fields.pop(name, None)
    written = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    tail = draw(st.sampled_from([b"}", b"}", b"}", b', "x": 1}', b', "site": "b"}', b"", b"}]", b"}\n", b"}\0"]))
    head = draw(st.sampled_from([b"", b"", b"", b" ", b"\0\0\0\0\1", b"\xef\xbb\xbf", b"\3\0"]))
    return head + written[:-1] + tail


@settings(max_examples=100, deadline=None)
@given(
    st.lists(objects() | st.binary(max_size=30) | st.none(), min_size=1, max_size=12),
    st.sampled_from(["lenient", "strict"]),
    st.sampled_from([[], ["", "NA", "-7", "1.25"]]),
    st.sampled_from(["NFC", ""]),
)
def test_mixed_batches(bodies: list[bytes | None], policy: str, missing: list[str], form: str) -> None:
    decoded_both_ways(config(policy={"*": policy}, missing_values=missing, unicode=form), raw(*bodies))


SPLICES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"0",
    b"-",
    b"e9",
    b".",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\n",
    b" ",
]
SPLICES += [b"null", b"NaN", b'"x": 1, ', b'"at": 1, ', b"\\u00e9", b"\\ud800", "é".encode(), b"9" * 20, b"true"]


def damaged(good: bytes, chance: random.Random) -> bytes:
    """A body with bytes taken out, put in, changed or moved; of half of them only some that stay what they are."""
    if chance.random() < 0.5:
        return bytes(
            ord(chance.choice("0123456789+-eE. ")) if 45 < at < 58 and chance.random() < 0.1 else at for at in good
        )
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at, size = chance.randrange(len(good) + 1), chance.choice([0, 1, 1, 2, 8])
        piece = chance.choice([b"", chance.choice(SPLICES), bytes([chance.randrange(256)]), good[at : at + 12]])
        good = good[:at] + piece + good[at + size :]
    return good


def fuzzed(seed: int, n: int) -> list[bytes]:
    """Damaged bodies of every kind."""
    chance = random.Random(seed)
    good = [
        body(),
        body(site="a\nb", other=[1, {"x": 2}]).replace(b" ", b""),
        body(kind=None, x=1e-7, n=math.pi),
        json.dumps({**GOOD, "y.z": 1, "ü": "ü"}, ensure_ascii=False).encode(),
    ]
    return [damaged(chance.choice(good), chance) for _ in range(n)]


def test_damaged_bodies_are_read_alike_both_ways() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    cfg = config()
    bodies, fast, slow = fuzzed(seed, 8_000), Decoder(cfg), row_by_row(cfg)
    share = reader(cfg).read(Bodies.of(bodies)).read.mean()
    assert 0.1 < share < 0.9, "or this shows little"
    for first in range(0, len(bodies), 1_000):  # one after the other: what was learnt of some batches serves the next
        batch = raw(*bodies[first : first + 1_000])
        assert_alike(*fast.decode(batch), *slow.decode(batch))


def test_objects_in_another_order_in_every_row_and_keys_of_every_kind() -> None:
    chance, bodies = random.Random(1), []
    for i in range(600):
        fields = list({**GOOD, **{f"k{chance.randrange(2_000)}": j for j in range(5)}, f"n{i}" * 700: i}.items())
        chance.shuffle(fields)
        bodies.append(json.dumps(dict(fields[chance.randrange(3) :])).encode())
    events, _ = decoded_both_ways(config(), raw(*bodies))
    assert len(events) > 400


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
    assert len(columns._known) < 100


def test_texts_that_nobody_took_note_of_are_told_again() -> None:
    """As where a signal comes between reading and taking note."""
    columns = reader(config())
    values = [body(site=f"s{i}") for i in range(5)]
    columns.read(Bodies.of(values[:2]))
    columns._known.pop()
    assert columns.read(Bodies.of(values)).texts[1].objects().tolist() == [f"s{i}" for i in range(5)]
    columns._known.extend(["wrong"] * 9)
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
