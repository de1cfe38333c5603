"""Times for people to read, and lines that do not fill the log."""

from __future__ import annotations

import pytest

from stream_app.terminal import Seldom, utc


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01 00:00"),
        (1_388_534_399_999, "2013-12-31 23:59"),
        (-1, "1969-12-31 23:59"),
        (10**17, "100000000000000000 ms"),
        (-(10**17), "-100000000000000000 ms"),
        (10**30, f"{10**30} ms"),
    ],
)
def test_a_time_is_text_in_utc_and_a_number_where_it_is_none(ms: int, text: str) -> None:
    assert utc(ms) == text


def test_the_pattern_is_that_of_strftime() -> None:
    assert utc(1_388_534_399_999, "%Y-%m") == "2013-12"


def test_what_happens_for_ever_does_not_fill_the_log() -> None:
    lines: list[str] = []
    seldom = Seldom(lines.append)
    for number in range(2_500):
        seldom(f"record {number} is none of ours")
    assert lines[:9] == [f"record {number} is none of ours" for number in range(9)]
    said = "is none of ours ({:,} so far; one in 1,000 is said)"
    assert lines[9:] == [f"record {number - 1} {said.format(number)}" for number in (10, 1_000, 2_000)]
    assert seldom.count == 2_500
