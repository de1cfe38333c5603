"""Times for people to read."""

from __future__ import annotations

import pytest

from stream_app.terminal import utc


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
