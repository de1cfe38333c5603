"""Held events through the whole step: each is counted once, in the pane of its time, under its own offset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from schemas.codecs import decode_event, decode_partial
from schemas.pane_layout import PaneLayout
from schemas.records import DeadLetter, EventAnomaly, PaneBlock
from stream_app.config import Config
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.state import COUNTERS
from tests.stages import streams
from tests.stages.streams import channels, config, event, pipeline, raw, score_all

FEW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LAYOUT = PaneLayout(len(streams.NUMERIC), len(streams.CATEGORIES))


VOTING = {"clock": 16, "max_future": None, "lateness": "0s"}
"""The clock of the defaults: the median of sixteen events, 24 panes of a second ahead."""


def voting(**windows: object) -> Config:
    return config(windows={**VOTING, **windows})


def steady(n: int, first: int = 0, step_ms: int = 200) -> list[bytes | None]:
    return [event(step_ms * i, i, x=0.1 * (i % 7)) for i in range(first, first + n)]


def far(t: int, i: int, **fields: object) -> bytes:
    return event(t, 100_000 + i, **fields)


def counted(made: Pipeline) -> dict[str, int]:
    state = made.score_states[0]
    assert state.counters["received"] == sum(state.counters[name] for name in COUNTERS if name != "received")
    assert state.counters["held"] == len(state.timing.held)
    return state.counters


def letters(out: Outputs) -> list[DeadLetter]:
    found = (decode_event(m.value, m.headers) for m in out.messages if m.role == "dead_letters")
    return [record for record in found if isinstance(record, DeadLetter)]


def seen(out: Outputs) -> dict[int, int]:
    """Events of each closed pane."""
    blocks = (decode_partial(m.value, dict(m.headers)) for m in out.messages if m.role == "partials")
    whole = (block for block in blocks if isinstance(block, PaneBlock) and block.slicing == "all")
    return {block.pane_start_ms: int(np.frombuffer(block.columns["seen"], "<i8").sum()) for block in whole}


def test_a_held_event_is_counted_once_in_the_pane_of_its_time(model: Density) -> None:
    made = pipeline(config(windows=VOTING, event_rule={"publish": True}), [model])
    values = [*steady(100), far(60_050, 1, x=50.0, y=-50.0), *steady(400, 100)]
    out = score_all(made, 0, values[:101], [30])
    assert counted(made) == {"received": 101, "windowed": 100, "late": 0, "rejected": 0, "duplicate": 0, "held": 1}
    for a in range(101, len(values), 37):
        more = made.score(raw(0, values[a : a + 37], a))
        out.messages += more.messages
    assert counted(made)["windowed"] == 501
    assert seen(out)[60_000] == 6, "five that came in time, and the one that waited"
    found = (decode_event(m.value, m.headers) for m in out.messages if m.role == "signals")
    anomalies = [record for record in found if isinstance(record, EventAnomaly)]
    assert [(record.offset, record.event_time_ms) for record in anomalies] == [(100, 60_050)]


def test_an_event_that_waited_leaves_the_same_panes_as_one_that_came_in_time(model: Density) -> None:
    early, right = (pipeline(voting(), [model]) for _ in range(2))
    rows, odd = steady(500), far(60_050, 1, x=7.0, station="south")
    waited = score_all(early, 0, [*rows[:100], odd, *rows[100:]], [64])
    came = score_all(right, 0, [*rows[:300], odd, *rows[300:]], [64])

    def columns(out: Outputs) -> dict[tuple[str, int, tuple[str, ...]], dict[str, bytes]]:
        blocks = (decode_partial(m.value, dict(m.headers)) for m in out.messages if m.role == "partials")
        whole = [block for block in blocks if isinstance(block, PaneBlock)]
        return {(b.slicing, b.pane_start_ms, tuple(b.slices)): {**b.columns, "adaptive": b""} for b in whole}

    assert columns(waited) == columns(came)


MIXED: list[bytes | None] = [
    far(4_000_000_000_000, 0),
    *steady(40),
    *(far(100_000 + 20_000 * i, i) for i in range(3)),
    *steady(20, 40),
    b"nope",
    far(45_000, 4, x=1e300),
    *(far(300_000 + 10 * i, 10 + i, station=str(i)) for i in range(12)),
    *steady(200, 60),
    *(far(900_000 + 50 * i, 50 + i) for i in range(40)),
    *steady(30, 250),
]


@FEW
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_any_split_gives_the_same_bytes_where_events_are_held(model: Density, sizes: list[int]) -> None:
    one, other = pipeline(voting(), [model]), pipeline(voting(), [model])
    expected, got = score_all(one, 0, MIXED, [1_000]), score_all(other, 0, MIXED, sizes)
    assert channels(got.messages) == channels(expected.messages)
    assert sorted(map(repr, got.points)) == sorted(map(repr, expected.points))
    assert other.snapshot_score(0) == one.snapshot_score(0)
    assert counted(one)["windowed"] > 280
    assert counted(one)["held"] > 0


@FEW
@given(st.integers(0, len(MIXED)), st.integers(0, 30))
def test_held_events_survive_a_restart_at_any_row(model: Density, at: int, again: int) -> None:
    whole, first, second = (pipeline(voting(), [model]) for _ in range(3))
    expected = channels(score_all(whole, 0, MIXED, [1_000]).messages)
    before = score_all(first, 0, MIXED[:at], [13]).messages
    second.open_score(0, first.snapshot_score(0))
    start = max(at - again, 0)
    after = second.score(raw(0, MIXED[start:], start)).messages
    assert channels([*before, *after]) == expected
    assert second.snapshot_score(0) == whole.snapshot_score(0)


def test_a_held_event_that_cannot_be_scored_is_told_with_its_own_body(model: Density) -> None:
    made, odd = pipeline(voting(), [model]), far(30_000, 1, x=1e300)
    out = score_all(made, 0, [*steady(20), odd, *steady(300, 20)], [50])
    told = [(letter.reason, letter.offset, letter.body) for letter in letters(out)]
    assert told == [("unscorable", 20, odd)]
    assert counted(made)["held"] == 0


def test_events_that_there_is_no_room_for_are_told_with_their_own_bodies(model: Density) -> None:
    made = pipeline(voting(), [model])
    rows = [row for i, good in enumerate(steady(600)) for row in (good, far(10**9 + 10**6 * i, i))]
    out = score_all(made, 0, rows, [77])
    told = letters(out)
    assert {letter.reason for letter in told} == {"far_future"}
    assert [letter.body for letter in told] == [rows[letter.offset] for letter in told]
    assert counted(made)["held"] + len(told) == 600
    assert "windows.max_future" in told[0].detail


def test_held_events_that_are_none_any_more_after_a_restart_are_rejected_once(model: Density) -> None:
    first = pipeline(voting(), [model])
    score_all(first, 0, [*steady(20), far(10**9, 1), far(10**9, 2, pad="x" * 900)], [50])
    assert counted(first)["held"] == 2
    second = pipeline(config(windows={"clock": 16, "lateness": "0s"}, event={"max_bytes": 500}), [model])
    second.open_score(0, first.snapshot_score(0))
    out = second.score(raw(0, steady(30, 20), 22))
    assert [(letter.reason, letter.offset) for letter in letters(out)] == [("too_large", 21)]
    assert counted(second)["held"] == 1
    assert letters(second.score(raw(0, steady(30, 50), 52))) == []
    assert counted(second)["rejected"] == 1


@pytest.mark.parametrize("n", [0, 1, 15])
def test_the_first_events_of_a_partition_wait_for_one_another(model: Density, n: int) -> None:
    made = pipeline(voting(), [model])
    score_all(made, 0, [*steady(n), b"nope"], [4])
    assert counted(made)["held"] == n
    score_all(made, 0, [None] * (n + 1) + steady(16 - n, n), [100])
    assert counted(made)["windowed"] == 16
