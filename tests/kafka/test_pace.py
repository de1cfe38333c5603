"""Event time runs as fast as it was asked to, and what a hold has cost is made up for."""

from __future__ import annotations

import pytest

from stream_app.kafka import produce
from tests.kafka.fakes import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(produce, "time", clock)
    return clock


def test_event_time_runs_faster_than_the_clock(clock: Clock) -> None:
    pace = produce._Pace(2.0, None)
    for event_ms, now_s in ((5_000, 0.0), (6_000, 0.5), (None, 0.5), (6_000, 0.5), (9_000, 2.0)):
        pace.wait(event_ms)
        assert clock.now_s == pytest.approx(now_s)


def test_time_lost_in_a_hold_is_made_up_for(clock: Clock) -> None:
    held: list[int] = []

    def hold(event_ms: int) -> None:
        held.append(event_ms)
        clock.sleep(3.0 if event_ms == 1_000 else 0.0)

    pace = produce._Pace(2.0, hold)
    for event_ms, now_s in ((0, 0.0), (1_000, 3.0), (4_000, 3.0), (8_000, 4.0)):
        pace.wait(event_ms)
        assert clock.now_s == pytest.approx(now_s)
    assert held == [0, 1_000, 4_000, 8_000]


def test_events_are_held_at_full_speed_too(clock: Clock) -> None:
    pace = produce._Pace(None, lambda event_ms: clock.sleep(event_ms / 1_000))
    for event_ms in (1_000, None, 2_000):
        pace.wait(event_ms)
    assert clock.now_s == pytest.approx(3.0)
