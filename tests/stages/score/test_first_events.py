"""A field that no event has is an error, which names what the events do have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.config import EventConfig
from stream_app.stages.score.first_events import FieldsMissing, FirstEvents


def config(**fields: Any) -> EventConfig:
    known: dict[str, Any] = {"time_field": "at", "numeric": ["amount"], "categorical": ["payment"]}
    return EventConfig(**known | {"slicings": [["country"]]} | fields)


def order(**fields: Any) -> bytes:
    return msgspec.json.encode({"at": 1, "amount": 2.5, "payment": "card", "country": "CH"} | fields)


def looked(event: EventConfig, *values: bytes | None) -> FirstEvents:
    first = FirstEvents(event)
    first.take(values)
    return first


def says(event: EventConfig, *values: bytes | None) -> str:
    with pytest.raises(FieldsMissing) as missing:
        looked(event, *values).check()
    return str(missing.value)


@pytest.mark.parametrize(
    ("fields", "named", "have"),
    [
        ({"numeric": ["amuont"]}, "'amuont' (event.numeric, did you mean 'amount'?)", "amount at country payment"),
        (
            {"categorical": ["Payment"]},
            "'Payment' (event.categorical, did you mean 'payment'?)",
            "payment amount at country",
        ),
        (
            {"slicings": [["payment"], ["payment", "contry"]]},
            "'contry' (event.slicings, did you mean 'country'?)",
            "country amount at payment",
        ),
        ({"time_field": "timestamp"}, "'timestamp' (event.time_field)", "at amount country payment"),
        ({"id_field": "uuid"}, "'uuid' (event.id_field)", "amount at country payment"),
        ({"numeric": ["tax"], "categorical": ["tax"]}, "'tax' (event.numeric)", "amount payment at country"),
        (
            {"numeric": ["amount", "wind"], "slicings": [["shop"]]},
            "'wind' (event.numeric), nor 'shop' (event.slicings)",
            "country amount at payment",
        ),
    ],
)
def test_the_sentence_names_the_field_its_setting_the_nearest_name_and_what_there_is(
    fields: dict[str, Any], named: str, have: str
) -> None:
    names = ", ".join(map(repr, have.split()))
    assert says(config(**fields), *[order()] * 1_200) == (
        f"none of the first 1,000 events has a field {named}; they have {names}: write the name that they have, or set "
        "event.first_events = 0 where the field comes later"
    )


def test_fewer_events_are_judged_by_those_there_are() -> None:
    assert says(config(numeric=["x"]), order(), order()).startswith("none of the first 2 events has a field 'x'")
    looked(config(numeric=["x"])).check()


def test_one_event_of_the_first_thousand_is_enough_and_null_is_a_value() -> None:
    rare = config(numeric=["amount", "tip"])
    looked(rare, *[order()] * 999, order(tip=None)).check()
    assert "none of the first 1,000 events" in says(rare, *[order()] * 1_000, order(tip=1))
    assert "none of the first 3 events" in says(config(numeric=["tip"], first_events=3), *[order()] * 9, order(tip=1))
    looked(config(numeric=["tip"], first_events=0), *[order()] * 9).check()


def test_what_is_no_object_is_no_event_and_whatever_else_is_wrong_with_one_does_not_matter() -> None:
    first = looked(config(time_field="timestamp"), None, b"", b"\xff", b"nope", b"[1]", b"3", b"[" * 10_000, order())
    assert first.seen == 1
    looked(config(), order(at="soon", amount="much")).check()
    looked(config(), b"\0\0\0\0\7" + order()).check()
    looked(config(), order().replace(b"2.5", b"NaN")).check()
    looked(config(numeric=["x"]), None, b"nope").check()  # the dead letters say what is wrong


def test_nothing_is_looked_at_once_all_is_known() -> None:
    first = looked(config(), order())
    assert first.enough
    first.take([order()] * 5)
    assert first.seen == 1


@pytest.mark.parametrize("body", [{"payload": {"amount": 1}}, {"payload.amount": 1}])
def test_dotted_names_lead_into_an_event(body: dict[str, Any]) -> None:
    looked(config(numeric=["payload.amount"], categorical=[]), order(**body)).check()
    escaped = config(numeric=[r"payload\.amount"], categorical=[])
    if "payload" in body:
        assert "did you mean 'payload.amount'?" in says(escaped, order(**body))
    else:
        looked(escaped, order(**body)).check()


def test_the_nearest_name_may_lie_deeper_and_is_written_as_the_configuration_would() -> None:
    body = msgspec.json.encode({"at": 1, "payload": {"Amount": 1, "PM2.5": 2}})
    said = says(config(categorical=[], slicings=[[]]), body)
    assert "did you mean 'payload.Amount'?" in said
    assert r"they have 'payload.Amount', 'payload.PM2\\.5', 'at'" in said


def test_what_is_shown_is_bounded_and_of_one_line() -> None:
    many = {f"field{i:04}": i for i in range(5_000)} | {"a\nb": 1, "a" * 5_000: 2}
    said = says(config(numeric=[f"n{i}" for i in range(20)]), msgspec.json.encode(many))
    assert len(said) < 2_500
    assert "\n" not in said
    assert " and 988 more: " in said
