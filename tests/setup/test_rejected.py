"""Rows that nearly all come to nothing end in one sentence: how many, why, and which name or format would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_app.config import parse
from stream_app.setup.rejected import MostRejected, Tried, check_first, of_dropped
from stream_app.stages.dropped import Dropped

BODIES = [
    json.dumps(
        {"ts": 1_700_000_000 + 60 * i, "day": f"2026-01-{i % 28 + 1:02}", "x": i % 7, "kind": "ab"[i % 2]}
    ).encode()
    for i in range(4_000)
]


def tried(**event: Any) -> str:
    """What is said of the bodies by a configuration."""
    config = parse({"stream": "s", "event": {"time_field": "ts", "time_format": "epoch_s", "numeric": ["x"], **event}})
    with pytest.raises(MostRejected) as caught:
        check_first(config, BODIES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ({"time_format": "iso8601"}, 'is written as event.time_format = "epoch_s", which is "iso8601"'),
        ({"time_field": "kind", "time_format": "iso8601"}, 'event.time_field = "ts" and event.time_format = "epoch_s"'),
        ({"time_field": "day"}, '\'2026-01-01\' is written as event.time_format = "iso8601", which is "epoch_s"'),
        ({"numeric": ["x", "kind"]}, "it belongs to event.categorical, not to event.numeric"),
        ({"numeric": ["x", "day"]}, 'day holds texts such as "2026-01-01"'),
    ],
    ids=["format", "field", "field and format", "text", "many texts"],
)
def test_what_would_be_right_is_said(event: dict[str, Any], hint: str) -> None:
    said = tried(**event)
    assert said.startswith("4,000 of 4,000 rows rejected: 4,000 ")
    assert hint in said


def test_times_in_another_unit_are_no_times_of_1970() -> None:
    said = tried(time_format="epoch_ms")
    assert said.startswith(
        "the times of all rows looked at lie before 1990, at 1970-01-20 16:13 for one: ts is written as "
    )
    assert said.endswith('event.time_format = "epoch_s", and not "epoch_ms"')


def test_rows_that_only_count_stay_in_1970() -> None:
    config = parse({"stream": "s", "event": {"time_field": "i", "time_format": "epoch_s", "numeric": ["x"]}})
    check_first(config, [json.dumps({"i": i, "x": i % 5}).encode() for i in range(2_000)])


def test_some_bad_rows_are_no_fault_of_the_configuration() -> None:
    config = parse({"stream": "s", "event": {"time_field": "ts", "time_format": "epoch_s", "numeric": ["x"]}})
    some = Tried(config)
    some.take([*BODIES[:60], *[b"{}"] * 40])
    some.check()
    assert some.says() == "40 of 100 rows rejected: 40 missing_time in field 'ts' (the event has no 'ts')"


def test_a_refused_training_says_it_too() -> None:
    event, dropped = parse({"stream": "s", "event": {"time_field": "ts", "numeric": ["x"]}}).event, Dropped()
    dropped.add("not before --bootstrap-until", "", "2026", 5_000)
    assert of_dropped(dropped, 10, event) == ""
    dropped.add("bad_time", "ts", "e/0@0: Invalid isoformat string: '31.12.2026 12:00'", 90)
    said = of_dropped(dropped, 10, event)
    assert said.startswith("90 of 100 rows rejected: 90 bad_time in field 'ts' (e/0@0: ")
    assert said.endswith("'31.12.2026 12:00' is written as event.time_format = \"%d.%m.%Y %H:%M\"")
