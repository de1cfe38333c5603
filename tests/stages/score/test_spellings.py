"""One value of JSON is one event, however it is written, and nothing that is written has decoding raise."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.config import parse
from stream_app.stages.score.coercion import Misfit, number
from stream_app.stages.score.decoding import DECODERS
from stream_app.stages.score.rejects import Undecodable
from tests.stages.score.bodies import EVENT, coerced, decode, slices_of

NAMES = st.sampled_from(["a", "a.b", r"a\.b", "a.0", "a.b.c", "b", "b.0.c"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["12,5", "1,234", "NA", "NaN", "1e5", "2013-03-01", 10**400, 1362096000000, "9" * 500])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc0"), inner, max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NAMES, min_size=2, max_size=4, unique_by=lambda name: name.replace("\\", "")),
    st.dictionaries(st.sampled_from(["a", "a.b", "a.b.c", "a.0", "b", "b.0.c", "at"]), VALUES),
    st.sampled_from([b"", b"\0\0\0\0\1", b"\xef\xbb\xbf", b"\3\0"]),
    st.sampled_from(["lenient", "strict"]),
    st.sampled_from(["iso8601", "epoch_ms", "%Y"]),
)
def test_decoding_raises_nothing_but_undecodable(
    names: list[str], fields: dict[str, Any], header: bytes, policy: str, time_format: str
) -> None:
    event = {"numeric": names[:1], "categorical": names[1:2], "slicings": [names[2:]], "policy": {"*": policy}}
    value = header + json.dumps(fields).encode()
    events, rejects = decode(value, time_format=time_format, **event)
    assert len(events) + len(rejects) == 1
    assert all(reject.reason and reject.detail for reject in rejects)
    config = parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}}).event
    with contextlib.suppress(Undecodable):
        DECODERS["json"](config, names[1:])(value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_an_event_or_a_reject(value: bytes) -> None:
    for given_ in (value, b"{" + value, b'{"at": "2013-03-01", "amount": ' + value + b"}"):
        events, rejects = decode(given_)
        assert len(events) + len(rejects) == 1


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value, in one of the many ways to write it."""
    blank = st.sampled_from(["", "", " ", "\n", "\t \r\n"])
    if isinstance(value, dict):
        pairs = draw(st.permutations(list(value.items())))
        inner = ",".join(
            f"{draw(blank)}{draw(spelled(name))}{draw(blank)}:{draw(spelled(item))}{draw(blank)}"
            for name, item in pairs
        )
        return f"{draw(blank)}{{{inner}}}{draw(blank)}"
    if isinstance(value, list):
        return f"[{','.join(draw(spelled(item)) for item in value)}{draw(blank)}]"
    if isinstance(value, str):
        return f'"{"".join(draw(st.sampled_from(_characters(sign))) for sign in value)}"'
    if isinstance(value, bool) or value is None:
        return f"{draw(blank)}{json.dumps(value)}"
    return draw(st.sampled_from(_numbers(value)))


def _characters(sign: str) -> list[str]:
    units = sign.encode("utf-16-be")
    escaped = "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
    plain = json.dumps(sign, ensure_ascii=False)[1:-1]
    return [plain, escaped, escaped.replace("\\u", "\\U").lower()] if sign == "/" else [plain, escaped]


def _numbers(value: float) -> list[str]:
    exact = Decimal(repr(value))
    digits, exponent = int(exact.scaleb(-exact.as_tuple().exponent)), exact.as_tuple().exponent  # type: ignore[operator]
    plain = format(exact, "f")
    return [
        plain,
        plain + ("0" if "." in plain else ".00"),
        f"{digits}e{exponent}",
        f"{digits}.0E{exponent}",
        f"{digits * 10}e{int(exponent) - 1:+d}",
    ]


EXACT = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=64).map(abs)
TEXTS = st.none() | st.booleans() | EXACT | st.text(max_size=6)
BODIES = st.fixed_dictionaries(
    {"at": st.just("2013-03-01T12:00:00Z")},
    optional={
        "amount": st.none() | EXACT | st.booleans() | st.sampled_from(["12,5", "7", "NA"]),
        "TEMP": st.none() | EXACT,
        "wd": TEXTS,
        "station": TEXTS,
        "unused": VALUES.filter(lambda value: "Infinity" not in json.dumps(value) and "NaN" not in json.dumps(value)),
    },
)


@settings(max_examples=150, deadline=None)
@given(BODIES.flatmap(lambda value: st.tuples(st.just(value), spelled(value), spelled(value), st.booleans())))
@example(({"at": "2013-03-01", "wd": 1.0, "amount": 5}, '{"at":"2013-03-01","wd":1,"amount":5.0}', "{}", True))
def test_every_spelling_of_a_json_value_gives_the_same_events(drawn: tuple[dict[str, Any], str, str, bool]) -> None:
    value, one, other, careful = drawn
    texts = [text for text in (json.dumps(value), one, other) if text != "{}"]
    if careful:  # what JSON has no word for, where nobody reads it, has the body read field by field
        texts.append(one.rstrip()[:-1] + ', "zz": [NaN, -Infinity, 1e999]}')
    read = [decode(text.encode(), id_field="id", slicings=[["station"], ["wd", "station"]]) for text in texts]
    first, _ = read[0]
    for events, rejects in read:
        assert [(r.reason, r.field) for r in rejects] == [(r.reason, r.field) for r in read[0][1]]
        assert np.array_equal(events.numeric, first.numeric, equal_nan=True)
        assert events.event_time_ms.tolist() == first.event_time_ms.tolist()
        assert events.categorical.tolist() == first.categorical.tolist()
        assert (slices_of(events), events.ids) == (slices_of(first), first.ids)
        assert coerced(events) == coerced(first)


def test_digits_of_any_script_and_the_sign_for_minus_are_read_as_in_files() -> None:
    """The sign looks like the hyphen: "expected a number, got the text '−6.25'" is a riddle."""
    for text, value in (("−6.25", -6.25), ("٦.٢٥", 6.25), ("６,２５", 6.25), ("−٦", -6)):
        assert number(text) == (value, False)
    for text in ("١,٢٣٤", "−1,234", "6−2", "²"):
        with pytest.raises(Misfit):
            number(text)
