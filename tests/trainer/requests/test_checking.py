"""What is wrong with a request is a sentence that says which range, and what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowlib.table import DAY_MS
from stream_app.trainer.requests import checking
from stream_app.trainer.requests.checking import Held, Seen, fault_in_log, fault_of, fault_of_date, shortfall
from tests.trainer.asking import ask, range_of, seen, stream_in


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, ""),
        ({"train": []}, "every range that it names is empty"),
        ({"train": [range_of(0, 5, 5), range_of(1, 0, 0)]}, "every range that it names is empty"),
        ({"train": [range_of(0, 6, 5)]}, "range e/0 from 6 to 5: it starts after its end"),
        ({"train": [range_of(topic="salaries")]}, "range salaries/0 from 0 to 10: only e is read for this stream"),
        ({"train": [range_of(0), range_of(1), range_of(0, 20, 30)]}, "it names partition 0 more than once"),
        (
            {"train": [range_of(start_ms=2 * DAY_MS, end_ms=DAY_MS)]},
            "range e/0 from 0 to 10: its times start (1970-01-03 00:00) after their end (1970-01-02 00:00)",
        ),
        (
            {"calibrate_from_ms": 100 * DAY_MS},
            "calibrate_from_ms (1970-04-11 00:00) lies outside of the times that are asked for "
            "(1970-01-01 00:00 to 1970-03-02 00:00)",
        ),
    ],
)
def test_what_is_wrong_with_a_request_by_itself(tmp_path: Path, fields: dict[str, Any], fault: str) -> None:
    assert fault_of(stream_in(tmp_path), ask(**fields)) == fault


def test_more_ranges_than_any_topic_has(tmp_path: Path) -> None:
    many = [range_of(number) for number in range(checking.RANGES_MAX + 1)]
    assert fault_of(stream_in(tmp_path), ask(train=many)).startswith("it names 10,001 ranges, and no more than 10,000")


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([range_of(0, 0, 100), range_of(1, 0, 50)], ""),
        (
            [range_of(0, 0, 100), range_of(7, 0, 50)],
            "range e/7 from 0 to 50: there is no such partition, the topic has 2",
        ),
        ([range_of(0, 0, 101)], "range e/0 from 0 to 101: the log ends at offset 100"),
        ([range_of(1, 300, 300)], "range e/1 from 300 to 300: the log ends at offset 50"),
        ([range_of(0, 0, 20)], "range e/0 from 0 to 20: deleted by retention, as is all else that it names"),
        ([range_of(0, 0, 20), range_of(1, 9, 9)], "range e/0 from 0 to 20: deleted by retention"),
        ([range_of(0, 0, 20), range_of(1, 0, 50)], ""),
    ],
)
def test_what_the_log_has_not(parts: list[Any], fault: str) -> None:
    found = fault_in_log(ask(train=parts), Seen(2, {0: Held(20, 100), 1: Held(0, 50)}, 0))
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_what_retention_has_deleted_in_part_is_told() -> None:
    parts, held = [range_of(0, 0, 100), range_of(1, 10, 30)], {0: Held(20, 100), 1: Held(50, 60)}
    assert fault_in_log(ask(train=parts), Seen(2, held, 0)) == ""
    said = "40 of the 120 offsets asked for were deleted by retention before they were read"
    assert shortfall(ask(train=parts), Seen(2, held, 0)) == said
    assert shortfall(ask(train=parts), Seen(2, {0: Held(0, 100), 1: Held(0, 60)}, 0)) == ""


def test_a_date_is_at_most_a_day_after_the_events() -> None:
    newest_ms = 60 * DAY_MS
    assert fault_of_date(ask(pane_ms=newest_ms + DAY_MS), seen(newest_ms)) == ""
    said = fault_of_date(ask(pane_ms=newest_ms + DAY_MS + 60_000), seen(newest_ms))
    assert said == "it is dated 1970-03-03 00:01, and the newest event at the ends of its ranges 1970-03-02 00:00"
    assert "no event can be read" in fault_of_date(ask(), seen(None))
