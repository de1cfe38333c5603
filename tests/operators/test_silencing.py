"""A silence is checked as a whole: every reason at once, and what is not wrong is no reason."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.operators.silencing import SilenceOptions, checked_span, moment_ms
from tests.worker.making import make_config

DAY_MS = 86_400_000
NEW_YEAR_MS = 1_767_225_600_000


@pytest.fixture
def config() -> Config:
    """Slices by place, in a zone an hour ahead."""
    return make_config("127.0.0.1:9092", "s", event={"timezone": "Europe/Berlin"})


def span(config: Config, **options: Any) -> tuple[int, int]:
    known = {"from_time": "2026-01-01T00:00Z", "to_time": "1d", "why": "works"}
    found = checked_span(config, SilenceOptions(**{**known, **options}))
    return found.from_ms, found.to_ms


@pytest.mark.parametrize(
    ("from_time", "to_time", "expected"),
    [
        ("2026-01-01T00:00Z", "2026-01-02T00:00Z", (NEW_YEAR_MS, NEW_YEAR_MS + DAY_MS)),
        ("2026-01-01T01:00", "4h", (NEW_YEAR_MS, NEW_YEAR_MS + DAY_MS // 6)),  # in the stream's zone
        ("2026-01-01", "2026-01-02", (NEW_YEAR_MS - 3_600_000, NEW_YEAR_MS + DAY_MS - 3_600_000)),
    ],
)
def test_times_are_dates_of_the_streams_zone_or_lengths(
    config: Config, from_time: str, to_time: str, expected: tuple[int, int]
) -> None:
    assert span(config, from_time=from_time, to_time=to_time) == expected


def test_now_is_by_the_clock(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.operators.silencing.time.time_ns", lambda: NEW_YEAR_MS * 1_000_000 + 7)
    assert moment_ms(config, "now") == NEW_YEAR_MS
    assert span(config, from_time="now", to_time="90s") == (NEW_YEAR_MS, NEW_YEAR_MS + 90_000)


@pytest.mark.parametrize("pattern", ["place=DE", "place=*", "D*", "Dongsi", "DE|card", "a name with blanks"])
@pytest.mark.parametrize("channel", ["", "location", "x", "place", "location x", "dependence x y", "strangers"])
def test_what_may_be_silenced(config: Config, pattern: str, channel: str) -> None:
    assert span(config, slices=(pattern,), channel=channel)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slices": ("plaice=DE",)}, "'plaice' is none of the fields that slices are made of: did you mean place?"),
        ({"slices": ("q=DE",)}, "'q' is none of the fields that slices are made of (place)"),
        ({"slices": ("place=",)}, "--slice 'place=' names no slice"),
        ({"slices": (" ",)}, "--slice ' ' names no slice"),
        (
            {"channel": "locatoin"},
            "--channel 'locatoin' is no detector, no field, nor a detector and its fields; did you",
        ),
        ({"channel": "location z"}, "--channel 'location z' is no detector"),
        ({"channel": "location plac"}, "did you mean location place?"),
        ({"from_time": "soon"}, "--from: expected `now` or a time such as 2026-01-31T14:00, got 'soon'"),
        ({"to_time": "later"}, "--to: expected a time such as 2026-01-31T14:00, or a length of time such as 4h, got"),
        ({"to_time": ""}, "a length of time such as 4h, it is missing"),
        ({"to_time": "2025-12-31"}, "--to 2025-12-31 is not later than --from 2026-01-01T00:00Z"),
        ({"to_time": "0s"}, "--to 0s is not later than --from 2026-01-01T00:00Z"),
        ({"why": " "}, "--why is missing"),
    ],
)
def test_what_is_wrong_is_said(config: Config, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DriftflowError) as caught:
        span(config, **options)
    head, *reasons = str(caught.value).splitlines()
    assert head == "nothing is silenced:"
    assert len(reasons) == 1
    assert words in reasons[0]


def test_all_reasons_come_at_once(config: Config) -> None:
    wrong = {"slices": ("plaice=DE", "place="), "channel": "nothing", "from_time": "x", "to_time": "y", "why": ""}
    with pytest.raises(DriftflowError) as caught:
        span(config, **wrong)
    reasons = str(caught.value).splitlines()[1:]
    assert len(reasons) == 6
    for word in ("plaice", "'place='", "--channel", "--why", "--from", "--to"):
        assert sum(word in reason for reason in reasons) == 1, word
