"""JSON in columns is what the row decoder makes of it, bit by bit: numbers, times, mixed batches, damaged bodies."""

from __future__ import annotations

import json
import math
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.stages.batches import Bodies
from stream_app.stages.score.decoding import Decoder
from tests.conftest import need
from tests.stages.score.bodies import assert_alike, decoded_both_ways, row_by_row
from tests.stages.score.plain import GOOD, body, config, raw, reader, with_value

need("stream_app.native._rows")

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


def test_damaged_bodies_are_read_alike_both_ways(seed: int) -> None:
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
