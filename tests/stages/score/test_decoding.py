"""Every kind of malformed event becomes a reject with its reason; good ones keep their values."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import EventConfig, parse
from stream_app.stages.batches import RawBatch
from stream_app.stages.score.checks import check_decoder
from stream_app.stages.score.decoding import DECODERS
from stream_app.stages.score.rejects import Undecodable
from tests.stages.score.bodies import decoded_both_ways, slices_of

CONFIG = {
    "stream": "s",
    "topics": {"events": "e"},
    "event": {
        "time_field": "at",
        "numeric": ["PM2.5", "TEMP"],
        "categorical": ["wd"],
        "slicings": [["station"], []],
        "max_bytes": 1000,
        "id_field": "id",
    },
}


def decode(*bodies: bytes | None, **event: object):  # type: ignore[no-untyped-def]
    config = parse({**CONFIG, "event": {**CONFIG["event"], **event}})  # type: ignore[dict-item]
    raw = RawBatch("e", 3, np.arange(100, 100 + len(bodies), dtype=np.int64), list(bodies))
    return decoded_both_ways(config, raw)


GOOD = {"at": "2013-03-01 00:00:00", "station": "Dongsi", "PM2.5": 9, "TEMP": -0.5, "wd": "NNW", "id": 7}


def test_good_event() -> None:
    events, rejects = decode(json.dumps(GOOD).encode())
    assert not rejects
    assert events.event_time_ms.tolist() == [1362096000000]
    assert events.numeric.tolist() == [[9.0, -0.5]]
    assert events.categorical.tolist() == [["NNW"]]
    assert slices_of(events) == [["Dongsi", "all"]]
    assert (events.ids, events.offsets.tolist()) == (["7"], [100])


def test_ids_of_any_length_take_little_room_and_stay_apart() -> None:
    ids = ["x" * 200, "x" * 201, "x" * 900, "y" + "x" * 899]
    events, _ = decode(*(json.dumps(GOOD | {"id": id}).encode() for id in ids), max_bytes=2_000)
    assert events.ids is not None
    assert events.ids[0] == ids[0]
    assert max(map(len, events.ids)) <= 200
    assert len(set(events.ids)) == 4


def test_missing_values_are_nan_or_none() -> None:
    events, rejects = decode(b'{"at": "2013-03-01", "PM2.5": null}')
    assert not rejects
    assert np.isnan(events.numeric).all()
    assert events.categorical.tolist() == [[None]]
    assert slices_of(events) == [["(none)", "all"]]


def body(**change: object) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


MALFORMED = [
    (None, "tombstone", ""),
    (b"", "not_json", ""),
    (b"nope", "not_json", ""),
    (b"\xff\xfe\x00", "not_json", ""),
    (b'{"at": ', "not_json", ""),
    (b"[" * 100_000, "too_large", ""),
    (b"[]", "wrong_type", ""),
    (b"3", "wrong_type", ""),
    (b"null", "wrong_type", ""),
    (body(TEMP="cold"), "wrong_type", "TEMP"),
    (body(TEMP=[1]), "wrong_type", "TEMP"),
    (body(**{"PM2.5": [True]}), "wrong_type", "PM2.5"),
    (b'{"at": "2013-03-01", "TEMP": nan}', "not_json", ""),
    (b'{"at": "2013-03-01", "TEMP": 1e999}', "wrong_type", "TEMP"),
    (body(station={"a": 1}), "wrong_type", "station"),
    (b'{"TEMP": 1}', "missing_time", "at"),
    (body(at=None), "missing_time", "at"),
    (body(at="yesterday"), "bad_time", "at"),
    (body(at=12), "bad_time", "at"),
    (body(at="1850-01-01"), "bad_time", "at"),
    (body(at="9999-01-01"), "bad_time", "at"),
    (body(pad="x" * 2_000), "too_large", ""),
]


@pytest.mark.parametrize(("value", "reason", "field"), MALFORMED)
def test_malformed(value: bytes | None, reason: str, field: str) -> None:
    events, rejects = decode(json.dumps(GOOD).encode(), value, json.dumps(GOOD).encode())
    assert len(events) == 2
    assert [(r.row, r.offset, r.field) for r in rejects] == [(1, 101, field)]
    assert rejects[0].reason == reason


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "TEMP", "wd", "x"]), inner)
            ),
        ).map(lambda v: json.dumps(v).encode()),
    )
)
def test_nothing_raises_and_nothing_vanishes(value: bytes) -> None:
    events, rejects = decode(value)
    assert len(events) + len(rejects) == 1


@pytest.mark.parametrize(
    ("format_", "value", "millis"),
    [
        ("epoch_ms", 1_362_096_000_000, 1_362_096_000_000),
        ("epoch_s", 1_362_096_000.25, 1_362_096_000_250),
        ("epoch_us", 1_362_096_000_250_999, 1_362_096_000_250),
        ("epoch_ns", 1_362_096_000_250_999_999, 1_362_096_000_250),
        ("%d/%m/%Y %H:%M", "01/03/2013 00:00", 1_362_096_000_000),
        ("iso8601", "2013-03-01T00:00:00Z", 1_362_096_000_000),
        ("iso8601", "2013-03-01T01:00:00+01:00", 1_362_096_000_000),
    ],
)
def test_time_formats(format_: str, value: object, millis: int) -> None:
    events, rejects = decode(body(at=value), time_format=format_)
    assert not rejects
    assert events.event_time_ms.tolist() == [millis]


def test_time_zone_of_naive_times() -> None:
    events, _ = decode(body(), timezone="Asia/Shanghai")
    assert events.event_time_ms.tolist() == [1362096000000 - 8 * 3_600_000]


EVENT = parse(CONFIG).event
TEXTS = ["wd", "station"]
LOOSE: dict[bytes, tuple[str, Any]] = {
    body(TEMP="-12.5"): ("TEMP", -12.5),
    body(TEMP=" 12,5 "): ("TEMP", 12.5),
    body(TEMP="1e3"): ("TEMP", 1000.0),
    body(**{"PM2.5": True}): ("PM2.5", 1),
    body(TEMP=float("nan")): ("TEMP", None),
    body(TEMP=float("-inf")): ("TEMP", float("-inf")),
    body(wd=float("nan")): ("wd", None),
    body(station=float("inf")): ("station", "Infinity"),
}
"""Bodies in which one field is not written as it should be."""


def test_it_passes_the_generic_checks() -> None:
    check_decoder(DECODERS["json"], json.dumps(GOOD).encode(), GOOD, EVENT, TEXTS, LOOSE)


def broken(fault: str) -> Callable[[EventConfig, list[str]], Callable[[bytes], Any]]:
    """The JSON decoder with a fault."""

    def make(event: EventConfig, texts: list[str]) -> Callable[[bytes], Any]:
        heard = msgspec.structs.replace(event, policy={}) if fault == "deaf" else event
        right, one = DECODERS["json"](heard, texts), SimpleNamespace()

        def decode(value: bytes) -> Any:
            try:
                made = right(value)
            except Undecodable as error:
                if fault == "raises":
                    raise ValueError("no") from None
                where = "" if fault == "blames another" else error.field
                raise Undecodable(error.reason, where, "" if fault == "no detail" else error.detail) from None
            fields = {name: getattr(made, name) for name in ("t", "n0", "n1", "c0", "c1", "i", "coerced")}
            if fault == "text for a number":
                fields["n1"] = str(fields["n1"])
            if fault == "no time":
                fields["t"] = None
            if fault == "swapped":
                fields["n0"], fields["n1"] = fields["n1"], fields["n0"]
            if fault == "huge" and fields["n0"] != GOOD["PM2.5"]:
                fields["n0"] = 10**400
            if fault == "counts none":
                fields["coerced"] = 0
            if fault == "counts all":
                fields["coerced"] = 1
            if fault == "one object":
                one.__dict__.update(fields)
                return one
            return SimpleNamespace(**{k: v for k, v in fields.items() if fault != "no id" or k != "i"})

        return decode

    return make


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("raises", "raises ValueError, not Undecodable"),
        ("no detail", "refused without a detail"),
        ("text for a number", "`n1` is '-0.5', a str"),
        ("no time", "`t` is None"),
        ("swapped", "'PM2.5' is 9 in b'.*, `n0` is -0.5"),
        ("huge", "`n0` is of no use: int too large"),
        ("one object", "in b'.*, `"),
        ("no id", "no attribute `i`"),
        ("counts none", "`coerced` is 0 where 'TEMP' alone"),
        ("counts all", "`coerced` of the good body is 1"),
        ("deaf", "is read though event.policy is strict for 'TEMP'"),
        ("blames another", "is refused for '', and 'TEMP' is at fault"),
    ],
)
def test_each_check_can_fail(fault: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_decoder(broken(fault), json.dumps(GOOD).encode(), GOOD, EVENT, TEXTS, LOOSE)
