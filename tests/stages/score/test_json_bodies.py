"""Bodies that are strange in form: read right, and counted, or refused with the field and what to do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.stages.score.bodies import body, coerced, decode, slices_of


def test_from_day_60_on_30_percent_of_bodies_carry_a_nan_literal_and_from_day_75_numbers_come_as_text() -> None:
    """100 % were rejected."""
    bodies = [
        body(amount=day + 0.5, TEMP=math.nan if 60 <= day < 75 and n < 3 else day)
        if day < 75
        else body(amount=f"{day}.5", TEMP=f"{day}")
        for day in range(90)
        for n in range(10)
    ]
    events, rejects = decode(*bodies)
    assert not rejects
    assert np.array_equal(events.numeric[:, 0], np.repeat(np.arange(90) + 0.5, 10))
    assert np.flatnonzero(np.isnan(events.numeric[:, 1])).tolist() == [
        d * 10 + n for d in range(60, 75) for n in range(3)
    ]
    assert coerced(events) == [0] * 600 + ([1] * 3 + [0] * 7) * 15 + [2] * 150


def test_a_whole_number_of_more_digits_than_a_float64_holds_is_counted() -> None:
    """Neighbours beyond 2⁵³ are one number; one whose digits a float64 gives back has lost nothing."""
    values = [2**53, 2**53 + 1, -(2**53) - 1, 10**18, 12345678901234567890, 1_770_000_000_000]
    events, rejects = decode(*(body(amount=value) for value in values))
    assert not rejects
    assert events.numeric[:, 0].tolist() == [float(value) for value in values]
    assert coerced(events) == [0, 1, 1, 0, 1, 0]
    _, rejects = decode(*(body(amount=value) for value in values), policy={"amount": "strict"})
    assert [(reject.row, reject.reason, reject.field) for reject in rejects] == [
        (row, "wrong_type", "amount") for row in (1, 2, 4)
    ]
    assert rejects[0].detail.startswith("expected a number of no more digits than a float64 holds, got 900719925474099")


def test_a_column_of_a_time_or_an_id_keeps_its_digits() -> None:
    events, _ = decode(body(amount=1_770_000_020), body(amount=1_770_000_000.25))
    assert events.numeric[:, 0].tolist() == [1_770_000_020, 1_770_000_000.25]
    assert coerced(events) == [0, 0]


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12.5", 12.5),
        (" 12.5 ", 12.5),
        ("+12.5", 12.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1,5E-2", 0.015),
        ("12,5", 12.5),
        ("-0,125", -0.125),
        ("1234,567", 1234.567),
        ("12,3456", 12.3456),
        ("9007199254740993", 9007199254740992.0),
        ("1e300", math.inf),  # more than a model can take, which scoring says
        (True, 1.0),
        (False, 0.0),
        ("true", 1.0),
        ("false", 0.0),
        (math.nan, math.nan),
        ("-nan", math.nan),
        (math.inf, math.inf),
        ("-Infinity", -math.inf),
        ("inf", math.inf),
    ],
)
def test_a_number_in_another_form_is_that_number_and_counted(written: object, number: float) -> None:
    events, rejects = decode(body(amount=written))
    assert not rejects
    assert np.array_equal(events.numeric, [[number, 2.0]], equal_nan=True)
    assert coerced(events) == [1]
    _, (reject,) = decode(body(amount=written), policy={"amount": "strict"})
    assert (reject.reason, reject.field) == ("wrong_type", "amount")
    assert "event.policy is strict" in reject.detail


@pytest.mark.parametrize("policy", ["lenient", "strict"])
@pytest.mark.parametrize(
    ("written", "detail"),
    [
        ('"1,234"', "'1,234' may be a thousand or a number with a decimal comma: send it as a number"),
        ('"-12,345"', "may be a thousand"),
        ('"1,234,567"', "expected a number, got the text '1,234,567'"),
        ('"1.234,5"', "expected a number, got the text '1.234,5'"),
        ('"1_000"', "expected a number, got the text '1_000'"),
        ('"0x10"', "expected a number"),
        ('"cold"', "expected a number, got the text 'cold'"),
        ('"True"', "expected a number, got the text 'True'"),
        ('"1２a"', "expected a number"),
        ('{"value": 3}', "expected a number, got an object"),
        ("[3]", "expected a number, got a list"),
        ("1e400", "is beyond 1.8e308"),
        ("-1e400", "is beyond 1.8e308"),
        ("1" + "0" * 400, "is beyond 1.8e308"),
        ("1" + "0" * 5_000, "is beyond 1.8e308"),
        ('"1e400"', "'1e400' is beyond 1.8e308"),
        ('"' + "9" * 5_000 + '"', "is beyond 1.8e308"),
        ('"\\ud800"', "expected a number"),
    ],
)
def test_what_is_no_number_is_rejected_with_its_field(written: str, detail: str, policy: str) -> None:
    events, (reject,) = decode(
        body(amount=0).replace(b'"amount": 0', f'"amount": {written}'.encode()), policy={"*": policy}
    )
    assert (len(events), reject.reason, reject.field) == (0, "wrong_type", "amount")
    assert detail in reject.detail
    assert len(reject.detail) < 300


@pytest.mark.parametrize("policy", ["lenient", "strict"])
def test_texts_that_mean_missing_do_under_every_policy(policy: str) -> None:
    fields = {"amount": " NA ", "TEMP": "", "wd": "null", "station": " "}
    events, rejects = decode(body(**fields), policy={"*": policy})
    assert not rejects
    assert np.isnan(events.numeric).all()
    assert (events.categorical.tolist(), slices_of(events), coerced(events)) == ([[None]], [["(none)", "all"]], [0])
    events, _ = decode(body(wd="", station="NA"), missing_values=["-999", "x"])
    assert (events.categorical.tolist(), slices_of(events)) == ([[""]], [["NA", "all"]])
    events, _ = decode(body(amount=-999, TEMP=-999.0, wd=-999, station="-999"), missing_values=["-999", "x"])
    assert np.isnan(events.numeric).all(), "a number that stands for a missing value is one in every format"
    assert (events.categorical.tolist(), slices_of(events)) == ([[None]], [["(none)", "all"]])


def test_an_id_that_is_missing_in_words_is_none() -> None:
    events, _ = decode(body(id="NA"), body(id=None), body(id=""), body(id=7), body(id=7.0), body(id="7"), id_field="id")
    assert events.ids == ["", "", "", "7", "7", "7"]


NESTED = {"numeric": ["payload.amount", "payload.items.0.price"], "time_field": "payload.at", "categorical": ["wd"]}
INNER = {"at": "2013-03-01", "amount": 3, "items": [{"price": 4}], "station": "Dongsi"}


def test_numeric_payload_amount_nested_in_the_body() -> None:
    """It was missing in every row, and a model trained on nothing."""
    events, rejects = decode(
        json.dumps({"payload": INNER, "wd": "N"}).encode(), numeric=["payload.amount"], time_field="payload.at"
    )
    assert not rejects
    assert events.numeric.tolist() == [[3.0]]
    assert events.event_time_ms.tolist() == [1362096000000]


@pytest.mark.parametrize(
    ("payload", "numbers"),
    [
        (INNER, [3.0, 4.0]),
        (INNER | {"amount": "3,5"}, [3.5, 4.0]),
        (INNER | {"items": []}, [3.0, math.nan]),
        (INNER | {"items": None}, [3.0, math.nan]),
        (INNER | {"items": {"0": {"price": 5}}}, [3.0, 5.0]),
        (INNER | {"items": "none"}, [3.0, math.nan]),
        ({"at": "2013-03-01"}, [math.nan, math.nan]),
    ],
)
def test_paths_through_objects_and_lists(payload: object, numbers: list[float]) -> None:
    for extra in ({}, {"unused": math.nan}):
        given = json.dumps({"payload": payload, **extra}).encode()
        events, rejects = decode(given, slicings=[["payload.station"]], **NESTED)
        assert not rejects
        assert np.array_equal(events.numeric, [numbers], equal_nan=True)


@pytest.mark.parametrize("payload", [None, 3, "text", [1], [], True])
def test_a_path_that_leads_nowhere_is_a_missing_value(payload: object) -> None:
    given = json.dumps({"at": "2013-03-01", "payload": payload}).encode()
    events, rejects = decode(given, numeric=["payload.amount"], slicings=[["payload.station"]])
    assert not rejects
    assert np.isnan(events.numeric).all()
    assert slices_of(events) == [["(none)"]]


def test_a_field_with_a_dot_in_its_name_goes_before_a_path() -> None:
    flat, both = {"PM2.5": 9, "at": "2013-03-01"}, {"PM2.5": None, "PM2": {"5": 7}, "at": "2013-03-01"}
    deep = {"PM2": {"5": 7}, "at": "2013-03-01"}
    given = [json.dumps(fields).encode() for fields in (flat, both, deep)]
    events, _ = decode(*given, numeric=["PM2.5"])
    assert np.array_equal(events.numeric[:, 0], [9, math.nan, 7], equal_nan=True)
    events, _ = decode(*given, numeric=[r"PM2\.5"])
    assert np.array_equal(events.numeric[:, 0], [9, math.nan, math.nan], equal_nan=True)


@pytest.mark.parametrize("numeric", [["T", "T.max", "T.max.day"], ["T.max.day", "T.max", "T"]])
def test_names_that_are_the_beginning_of_others(numeric: list[str]) -> None:
    """As data frames in R have them."""
    flat = {"at": "2013-03-01", "T": 1, "T.max": 2, "T.max.day": 3}
    deep = {"at": "2013-03-01", "T": {"max": {"day": 3}}}
    mixed = {"at": "2013-03-01", "T.max": 2, "T": {"max": {"day": 3}}}
    events, rejects = decode(*(json.dumps(fields).encode() for fields in (flat, deep, mixed)), numeric=numeric)
    found = dict(zip(numeric, events.numeric.T.tolist(), strict=True))
    assert found == {"T": [1.0], "T.max": [2.0], "T.max.day": [3.0]}
    assert [(r.row, r.reason) for r in rejects] == [(1, "wrong_type"), (2, "wrong_type")], "an object is no number"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"\0\0\0\1\2", "Confluent's header, schema id 258"),
        (b"\0\0\0\0\0\0\0\1\2", "Apicurio's header, schema id 258"),
        (b"\3\0" + bytes(range(16)), "AWS Glue's header, schema 00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ],
)
def test_bodies_with_the_header_of_a_schema_registry(header: bytes, said: str) -> None:
    """JSON behind it is read; else the reason names the cause, which was "invalid character"."""
    events, rejects = decode(header + body(), header + body(amount="7"), body(), header + b'\n {"at": "2013-03-01"}')
    assert not rejects
    assert events.numeric[:, 0].tolist()[:3] == [1.5, 7.0, 1.5]
    _, (avro, broken, wrong) = decode(header + b"\x02\x0aDongsi", header + b'{"at": ', header + body(amount=[]))
    assert (avro.reason, avro.field) == ("schema_registry", "")
    assert said in avro.detail
    assert (broken.reason, wrong.reason, wrong.field) == ("not_json", "wrong_type", "amount")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\x1f\x8b\x08\x00", "it begins like gzip"),
        (body().decode().encode("utf-16"), "it begins like UTF-16"),
        (body().decode().encode("utf-16-le"), "it begins like UTF-16"),
        (body().decode().encode("utf-16-be"), "it begins like UTF-16"),
        (json.dumps(body().decode()).encode(), "it begins like JSON within a JSON text"),
        (b"\x85\xa2at", "it begins like MessagePack"),
        (b"<event/>", "it begins like XML"),
        (b"[" + body() + b"]", "expected an object, got a list"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\0", "Expecting value"),
        (b"\0" * 64, "Expecting value"),
    ],
)
def test_what_is_no_json_object_is_told_by_its_looks(value: bytes, said: str) -> None:
    _, (reject,) = decode(value)
    assert reject.reason in ("not_json", "wrong_type")
    assert said in reject.detail


def test_a_byte_order_mark_is_passed_over() -> None:
    events, rejects = decode(b"\xef\xbb\xbf" + body())
    assert (len(events), rejects) == (1, [])


@pytest.mark.parametrize("written", [b'"\\ud800"', b'"\xff"', b'"\xe9t\xe9"'])
def test_half_a_character_is_rejected_with_its_field_and_passed_over_where_nobody_reads_it(written: bytes) -> None:
    _, (reject,) = decode(body(wd=0).replace(b'"wd": 0', b'"wd": ' + written))
    assert (reject.reason, reject.field) == ("wrong_type", "wd")
    assert "no UTF-8" in reject.detail
    events, rejects = decode(body(note=0).replace(b'"note": 0', b'"note": ' + written))
    assert (len(events), rejects) == (1, [])


@pytest.mark.parametrize(
    ("format_", "written", "policy", "right"),
    [
        ("epoch_ms", "1362096000000", "lenient", True),
        ("epoch_s", "1362096000.0", "lenient", True),
        ("epoch_s", " 1362096000 ", "lenient", True),
        ("epoch_ms", "1362096000000", "strict", False),
        ("epoch_ms", "1,234", "lenient", False),
        ("epoch_ms", True, "lenient", False),
        ("epoch_ms", "true", "lenient", False),
        ("epoch_ms", math.nan, "lenient", False),
        ("epoch_ms", math.inf, "lenient", False),
    ],
)
def test_times_in_numbers_as_text(format_: str, written: object, policy: str, right: bool) -> None:
    events, rejects = decode(body(at=written), time_format=format_, policy={"at": policy})
    assert (events.event_time_ms.tolist(), len(rejects)) == (([1362096000000], 0) if right else ([], 1))
    assert all(reject.field == "at" for reject in rejects)
    assert coerced(events) == [1] * len(events)


def test_a_category_keeps_its_identity_whatever_spelling_a_serializer_gives_it() -> None:
    spellings = [b"1", b"1.0", b"1e0", b"10E-1", b'"1"']
    events, _ = decode(*(body(wd=0).replace(b'"wd": 0', b'"wd": ' + text) for text in spellings))
    assert events.categorical[:, 0].tolist() == ["1"] * 5
    pairs = [(True, "true"), (False, "false"), (0, "-0.0"), (0.1, "0.10"), (10**22, "1e22"), (2**63, f"{2**63}")]
    for one, other in pairs:
        written = other if not isinstance(one, bool) else f'"{other}"'
        events, _ = decode(body(wd=one), body(wd=0).replace(b'"wd": 0', f'"wd": {written}'.encode()))
        assert len(set(events.categorical[:, 0].tolist())) == 1, (one, other)
    ids = [2**53 + n for n in range(3)]
    events, _ = decode(*(body(wd=id_) for id_ in ids))
    assert events.categorical[:, 0].tolist() == list(map(str, ids)), "whole numbers of 64 bits stay apart"


def test_one_word_in_two_unicode_normal_forms() -> None:
    words = ["Zürich", "Zu\u0308rich"]
    events, _ = decode(*(body(wd=word, station=word) for word in words))
    assert events.categorical[:, 0].tolist() == events.slices[0].objects().tolist() == ["Zürich"] * 2
    events, _ = decode(*(body(wd=word, station=word) for word in words), unicode="")
    assert events.categorical[:, 0].tolist() == events.slices[0].objects().tolist() == words


def test_slices_that_were_one() -> None:
    """("a|b", "c") and ("a", "b|c"); null and the text "(none)"; two names that differ after 200 characters; a slice
    named ``__other__``; names with NUL, ESC, newline.
    """
    stations = [
        *(("a|b", "c"), ("a", "b|c"), (None, "c"), ("(none)", "c"), ("x" * 200 + "1", "c"), ("x" * 200 + "2", "c")),
        *(
            ("__other__", "c"),
            ("a\0", "c"),
            ("a\x1b[31m", "c"),
            ("a\n", "c"),
            ("a%0A", "c"),
            ("a\\n", "c"),
            ("a\\", "c"),
        ),
    ]
    events, _ = decode(*(body(station=a, wd=b) for a, b in stations), slicings=[["station", "wd"], ["station"]])
    pairs, singles = (column.objects().tolist() for column in events.slices)
    assert len(set(pairs)) == len(stations)
    assert len(set(singles)) == len({a for a, _ in stations})
    assert "__other__" not in singles
    assert all(name.isprintable() and "\\" not in name and len(name) <= 200 for name in (*pairs, *singles))


def test_numbers_that_always_come_as_text_are_no_fault_where_it_is_said() -> None:
    """A number that becomes one is none either; a word for one is, and what stands for another number."""
    written = ['"12.50"', '" -3 "', '"1e3"', "7", '"true"', '"NaN"', '"Infinity"', '"9007199254740993"', "true"]
    bodies = [body(amount=0).replace(b'"amount": 0', f'"amount": {one}'.encode()) for one in written]
    events, rejects = decode(*bodies, policy={"amount": "text"})
    assert not rejects
    assert events.numeric[:4, 0].tolist() == [12.5, -3.0, 1000.0, 7.0]
    assert coerced(events) == [0, 0, 0, 0, 1, 0, 1, 1, 1]  # NaN is among event.missing_values
    _, (reject,) = decode(body(amount="1,234"), policy={"*": "text"})
    assert "may be a thousand" in reject.detail
