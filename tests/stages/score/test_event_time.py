"""Local times: hours that clocks show twice or skip, at any zone's two changes a year."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Config, parse
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.readings import LocalTimes
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing
from tests.stages.score.bodies import decoded_both_ways

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Beirut", "Europe/Dublin")


def stream(zone: str, **event: object) -> Config:
    return parse(
        {
            "stream": "s",
            "topics": {"events": "e"},
            "event": {"time_field": "at", "numeric": ["x"], "timezone": zone, **event},
            "windows": {"pane": "10m"},
        }
    )


def decoded(config: Config, texts: Sequence[str]) -> tuple[EventBatch, RawBatch]:
    values = [json.dumps({"at": text, "x": 1}).encode() for text in texts]
    raw = RawBatch("e", 0, np.arange(len(values), dtype=np.int64), list(values))
    return decoded_both_ways(config, raw)[0], raw


def local(times_ms: Sequence[int], zone: str) -> list[str]:
    """What clocks show, without saying which hour it is."""
    moments = (datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(ZoneInfo(zone)) for time_ms in times_ms)
    return [moment.replace(tzinfo=None).isoformat() for moment in moments]


def changes(zone: str, year: int) -> list[int]:
    """When clocks are changed in a year, to the quarter of an hour."""
    quarter, at = timedelta(minutes=15), datetime(year, 1, 1, tzinfo=UTC)
    found, before = [], at.astimezone(ZoneInfo(zone)).utcoffset()
    while at.year == year:
        offset = at.astimezone(ZoneInfo(zone)).utcoffset()
        if offset != before:
            found.append(int(at.timestamp() * 1000))
        before, at = offset, at + quarter
    return found


def read_both_ways(config: Config, times_ms: Sequence[int]) -> tuple[list[int], list[int], Counter[str]]:
    """Times as SCORE and as the trainer read what clocks show, in batches of 50; and what became of the events."""
    state, trainer, scored, trained = Timing(), LocalTimes(), {}, []
    fate: Counter[str] = Counter()
    texts = local(times_ms, config.event.timezone)
    for first in range(0, len(texts), 50):
        events, raw = decoded(config, texts[first : first + 50])
        trained += trainer.read(events).event_time_ms.tolist()
        screening = screen(state, config.windows, events, raw)
        for k in np.flatnonzero(~screening.again).tolist():
            scored[first + int(screening.event[k])] = int(screening.time_ms[k])
        fate.update(late=int(screening.late.sum()), windowed=int(screening.wanted.sum()))
    return [scored[i] for i in range(len(times_ms))], trained, fate


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(1995, 2024),
    st.integers(0, 1),
    st.sampled_from([1, 20, 60, 300, 600, 900]),
    st.integers(0, 3_599),
)
def test_both_hours_of_a_change_are_read_right_in_any_zone(
    zone: str, year: int, which: int, step_s: int, phase_s: int
) -> None:
    of_year = changes(zone, year)
    if len(of_year) != 2:
        return
    first = of_year[which] - 3_600_000 * 4 - phase_s * 1_000
    times_ms = [first + 1_000 * step_s * i for i in range(min(8 * 3_600 // step_s, 4_000))]
    if step_s == 1:
        times_ms = [time_ms for time_ms in times_ms if abs(time_ms - of_year[which]) < 4_000_000]
    scored, trained, fate = read_both_ways(stream(zone), times_ms)
    assert scored == trained == times_ms
    assert fate["late"] == 0


@pytest.mark.parametrize("minutes", [10, 15, 30, 60])
def test_one_station_is_read_right_at_so_many_minutes_between_its_events(minutes: int) -> None:
    first = int(datetime(2013, 10, 26, 12, tzinfo=UTC).timestamp() * 1000)
    times_ms = [first + minutes * 60_000 * i for i in range(24 * 60 // minutes)]
    scored, trained, fate = read_both_ways(stream("Europe/Berlin"), times_ms)
    assert scored == trained == times_ms
    assert fate["late"] == 0


def test_times_that_say_their_offset_have_one_reading() -> None:
    texts = ["2013-10-27T02:30:00+02:00", "2013-10-27T02:30:00+01:00", "2013-10-27T02:30:00", "2013-10-27T04:00:00"]
    events, _ = decoded(stream("Europe/Berlin"), texts)
    assert events.later_ms is not None
    assert (events.later_ms - events.event_time_ms).tolist() == [0, 0, 3_600_000, 0]
    assert (events.event_time_ms[1] - events.event_time_ms[0]).item() == 3_600_000
    assert events.event_time_ms[2] == events.event_time_ms[0]


def test_a_time_that_clocks_skip_is_read_as_if_they_had_not_been_put_forward() -> None:
    events, _ = decoded(stream("Europe/Berlin"), ["2013-03-31T02:30:00", "2013-03-31T03:30:00+02:00"])
    assert events.event_time_ms[0] == events.event_time_ms[1]
    assert events.later_ms is not None
    assert events.later_ms.tolist() == events.event_time_ms.tolist()


@pytest.mark.parametrize("event", [{"timezone": "UTC"}, {"time_format": "epoch_ms"}])
def test_times_without_a_zone_have_one_reading(event: dict[str, object]) -> None:
    config = stream("Europe/Berlin", **event)
    assert Decoder(config).decode(RawBatch("e", 0, np.arange(0), []))[0].later_ms is None


def test_a_pattern_of_ones_own_is_read_twice_too() -> None:
    config = stream("Europe/Berlin", time_format="%d.%m.%Y %H:%M")
    events, _ = decoded(config, ["27.10.2013 02:15", "27.10.2013 12:15"])
    assert events.later_ms is not None
    assert (events.later_ms - events.event_time_ms).tolist() == [3_600_000, 0]
