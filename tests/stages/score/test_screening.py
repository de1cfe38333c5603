"""Event time: no event with a wrong time costs an honest one, and nothing depends on batches."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Duration, WindowsConfig
from stream_app.stages.score import holding, runs, screening
from stream_app.stages.score.runs import HELD_MAX
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing
from stream_app.stages.snapshot import pack, unpack
from tests.stages.score.judging import DAY, HOUR, START, Judged, One, batch_of, hourly, judge, with_bad

YEAR_2099 = 4_070_908_800_000
NEWEST = WindowsConfig(pane=Duration(1_000), lateness=Duration(500), clock=1, max_future=Duration(20_000))


def at(*times: int) -> list[One]:
    return [One(time_ms) for time_ms in times]


def fates(judged: Judged) -> list[str]:
    return [judged.fate[i] for i in range(len(judged.fate))]


# Wrong times --------------------------------------------------------------------------------------------------------


def test_one_well_formed_event_20_days_ahead_in_a_stream_of_90_days() -> None:
    honest = hourly(90)
    place = len(honest) // 3
    events = with_bad(honest, [(place, One(honest[place].time_ms + 20 * DAY, "station 1"))])
    judged = judge(events, range(0, len(events), 500))
    assert judged.lost(events) == Counter()
    assert judged.fate[place] == "windowed", "it waits, and is judged again when the stream arrives there"
    assert judged.strays[place + 1] == 1, "the next row says that it was wrong"


def test_one_event_per_station_twelve_in_all_29_days_ahead() -> None:
    honest = hourly(40, stations=12)
    bad = [(1_000, One(honest[1_000].time_ms + 29 * DAY, f"station {s}")) for s in range(12)]
    events = with_bad(honest, bad)
    assert judge(events, [1_005]).lost(events) == Counter()


def test_thirteen_events_each_29_days_further() -> None:
    honest = hourly(60)
    for places in (range(100, 113), [100] * 13):
        bad = [(place, One(honest[100].time_ms + 29 * DAY * (k + 1))) for k, place in enumerate(places)]
        events = with_bad(honest, bad)
        judged = judge(events)
        assert judged.lost(events) == Counter()
        assert len(judged.state.held) == 11, "the stream has come to the first two"


@pytest.mark.parametrize("wrong", [YEAR_2099, 0])
def test_the_first_row_is_dated_2099_or_1970(wrong: int) -> None:
    events = with_bad(hourly(30), [(0, One(wrong))])
    judged = judge(events)
    assert judged.lost(events) == Counter()
    assert judged.fate[0] == ("held" if wrong else "late")
    assert judged.closed[-1] > START + 29 * DAY
    assert judged.state.newest_ms < START + 30 * DAY


def test_naive_local_times_in_the_repeated_hour_of_october_with_panes_of_ten_minutes() -> None:
    first = 1_382_832_000_000  # 27 October 2013, 02:00 in Berlin, for the first time
    minutes = [One(first + minute * 60_000, later_ms=first + HOUR + minute * 60_000) for minute in range(60)]
    before = [One(first - minute * 60_000) for minute in range(60, 0, -1)]
    events = [*before, *minutes, *minutes, *(One(first + 2 * HOUR + minute * 60_000) for minute in range(60))]
    windows = WindowsConfig(pane=Duration(600_000))
    judged = judge(events, [70, 130], windows)
    assert judged.lost(events) == Counter()
    right = [first + minute * 60_000 for minute in range(-60, 180)]
    assert [judged.panes[i] for i in range(240)] == [time_ms // 600_000 * 600_000 for time_ms in right]


# The kinds ---------------------------------------------------------------------------------------------------------

STREAMS = {
    "four stations an hour": hourly(4),
    "fifty stations an hour": hourly(0.5, stations=50),
    "one station, an event every two days": [One(START + 2 * DAY * i) for i in range(200)],
    "one station, an event a minute": [One(START + 60_000 * i) for i in range(400)],
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(STREAMS)),
    st.floats(0.0, 0.45),
    st.integers(0, 2**32),
    st.sampled_from([1, 10, 50_000]),
    st.booleans(),
)
def test_any_share_below_a_half_of_wrong_times_at_any_place_loses_no_honest_event(
    name: str, share: float, seed: int, times: int, fixed: bool
) -> None:
    """Wrong ones of every kind, at random places, fewer than half of the first sixteen and never 16 in a row."""
    honest, chance = STREAMS[name], random.Random(seed)
    reach = max(10 * HOUR, 40 * (honest[8].time_ms - honest[0].time_ms))  # beyond what the stream itself might do
    far = times * reach
    bad: list[tuple[int, One]] = []
    for place in range(8 if chance.random() < 0.5 else 0, len(honest)):
        for _ in range(15):
            if chance.random() > share:
                break
            if len(bad) >= 7 and place < 16:
                break
            ahead = reach + (far if fixed else int(chance.random() * far))
            time_ms = honest[place].time_ms + chance.choice([1, 1, 1, -1]) * ahead
            bad.append((place, One(max(time_ms, 0), f"station {chance.randrange(6)}")))
    events = with_bad(honest, bad)
    judged = judge(events, chance.choices(range(len(events)), k=5))
    assert judged.lost(events) == Counter()
    assert judged.closed[-1] >= honest[-10 - 50 * (name.startswith("fifty"))].time_ms // HOUR * HOUR


TIMES = st.one_of(st.integers(0, 8_000), st.integers(0, 60_000), st.just(10**12), st.integers(0, 10**12))
EVENTS = st.lists(
    st.builds(One, TIMES, st.sampled_from("ab"), st.sampled_from(["", *"cdefgh"]), later_ms=TIMES), max_size=80
)
CLOCKS = st.builds(
    lambda size, most, future: WindowsConfig(
        pane=Duration(1_000), lateness=Duration(500), clock=size, max_open_panes=most, max_future=future
    ),
    st.sampled_from([1, 3, 16]),
    st.sampled_from([2, 64]),
    st.sampled_from([None, Duration(20_000)]),
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.lists(st.integers(0, 80), max_size=6), CLOCKS)
def test_batch_boundaries_do_not_matter(events: list[One], cuts: list[int], windows: WindowsConfig) -> None:
    whole = judge(events, [], windows)
    for parts in (cuts, range(80)):
        judged = judge(events, parts, windows)
        assert judged.entries == whole.entries
        assert pack(judged.state.to_state()) == pack(whole.state.to_state())


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.integers(0, 80), CLOCKS)
def test_a_snapshot_at_any_row_goes_on_the_same(events: list[One], cut: int, windows: WindowsConfig) -> None:
    whole, first = judge(events, [], windows), judge(events[:cut], [], windows)
    state = Timing.from_state(unpack(pack(first.state.to_state())))
    assert pack(state.to_state()) == pack(first.state.to_state())
    n = len(events[:cut])
    for i, one in enumerate(events[n:], n):
        decoded, raw = batch_of([one], i)
        screen(state, windows, decoded, raw)
    assert pack(state.to_state()) == pack(whole.state.to_state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.floats(0, 1), CLOCKS)
def test_batches_that_are_judged_at_once_are_judged_as_row_by_row(
    seed: int, step_ms: int, order: float, windows: WindowsConfig
) -> None:
    """Of streams that are on time, mostly."""
    chance = random.Random(seed)
    times = [max(int(i * step_ms + order * chance.uniform(-400, 400)), 0) for i in range(300)]
    events = [One(time_ms, id=str(i - (chance.random() < 0.01))) for i, time_ms in enumerate(times)]
    cuts = sorted(chance.choices(range(300), k=12))
    rows = judge(events, range(300), windows)  # the clock's first rows at least
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "_at_once", lambda *_: None)
        slow = judge(events, cuts, windows)
    fast = judge(events, cuts, windows)
    assert fast.entries == slow.entries == rows.entries
    assert pack(fast.state.to_state()) == pack(slow.state.to_state())


# Streams that sleep, are sparse, or come late ----------------------------------------------------------------------


@pytest.mark.parametrize("sleep", [5 * HOUR, 3 * DAY, 31 * DAY, 800 * DAY])
@pytest.mark.parametrize("stations", [1, 12, 100])
def test_a_stream_that_slept_goes_on_and_loses_nothing(sleep: int, stations: int) -> None:
    first = hourly(4, stations)
    events = [*first, *hourly(4, stations, first[-1].time_ms + sleep)]
    judged = judge(events)
    assert judged.lost(events) == Counter()
    assert sum(judged.leaps) <= sleep + 4 * DAY
    if sleep >= 31 * DAY and stations > 1:
        assert max(judged.leaps) == pytest.approx(sleep, abs=2 * HOUR)
    assert judged.closed[-1] > events[-1].time_ms - 12 * HOUR


@pytest.mark.parametrize(
    ("step", "size"), [(2 * DAY, 1), (7 * DAY, 1), (DAY, 12), (7 * DAY, 12), (DAY, 100), (7 * DAY, 100), (31 * DAY, 5)]
)
def test_sparse_streams_lose_nothing(step: int, size: int) -> None:
    """So many events at once, then nothing for so long, in panes of an hour."""
    events = [One(START + step * i, f"station {s}") for i in range(60) for s in range(size)]
    judged = judge(events, range(0, len(events), 100))
    waiting = judged.lost(events)
    assert waiting.keys() <= {"held"}
    assert waiting["held"] <= 2 * size, "the last ones wait for the next"
    assert judged.strays == [0] * len(events)


@pytest.mark.parametrize("mean", [HOUR // 3, HOUR, 5 * HOUR])
@pytest.mark.parametrize("slices", [1, 3_000])
def test_events_at_random_are_followed_even_where_each_is_a_slice_of_its_own(mean: int, slices: int) -> None:
    """Gaps of an hour on average have some of ten: the clock stood still for 500 events where no slice came twice."""
    chance, time_ms, events = random.Random(mean), START, []
    for i in range(3_000):
        time_ms += int(chance.expovariate(1 / mean))
        events.append(One(time_ms, f"order {i % slices}"))
    judged = judge(events)
    assert judged.lost(events).keys() <= {"held"}
    behind = [one.time_ms - closed for one, closed in zip(events[16:], judged.closed[16:], strict=True)]
    assert max(behind) < 2 * DAY + 80 * mean
    assert sum(leap > 0 for leap in judged.leaps) < 90, "seldom"


def test_a_stream_that_becomes_sparse_is_followed() -> None:
    events = [*hourly(5, 12), *(One(START + 60 * DAY + 15 * DAY * i) for i in range(200))]
    judged = judge(events)
    assert judged.lost(events) == Counter()
    assert judged.closed[-1] > events[-20].time_ms


def test_a_backfill_in_bulk_is_late_and_stalls_nothing() -> None:
    old, live = hourly(30, 4, START - 400 * DAY), hourly(20, 4)
    mixed = [one for i, now in enumerate(live[400:]) for one in (*old[7 * i : 7 * i + 7], now)]
    events = [*live[:400], *mixed]
    judged = judge(events, range(0, len(events), 333))
    late = sum(one.time_ms < START for one in events)
    assert Counter(judged.fate.values()) == {"windowed": len(live), "late": late}
    assert judged.closed[-1] > live[-1].time_ms - 6 * HOUR


def test_a_stream_that_jumps_beside_a_backfill_is_followed() -> None:
    old, first = hourly(30, 4, START - 400 * DAY), hourly(10, 4)
    jumped = hourly(10, 4, START + 60 * DAY)
    mixed = [one for i, now in enumerate(jumped) for one in (*old[3 * i : 3 * i + 3], now)]
    judged = judge([*first, *mixed])
    assert Counter(judged.fate.values())["windowed"] == len(first) + len(jumped)


def test_a_station_whose_clock_is_ahead_waits_for_the_others() -> None:
    """One of twelve is half a day ahead, then one is two days ahead: their events are in the panes of their times."""
    for ahead in (12 * HOUR, 48 * HOUR):
        events = [replace(one, time_ms=one.time_ms + ahead * (one.slice == "station 3")) for one in hourly(20, 12)]
        judged = judge(events, range(0, len(events), 100))
        assert judged.lost(events).keys() <= {"held"}
        assert all(judged.panes[i] == one.time_ms for i, one in enumerate(events))
        assert judged.lost(events)["held"] == (40 if ahead > DAY else 0)


def test_one_event_that_is_sent_again_and_again_moves_nothing() -> None:
    honest = hourly(20)
    bad = One(honest[300].time_ms + 20 * DAY, "station 1", "again")
    events = with_bad(honest, [(300, bad)] * 100)
    judged = judge(events)
    assert judged.lost(events) == Counter()


def test_one_event_that_comes_thousands_of_times_in_a_row_is_neither_believed_nor_kept_without_end() -> None:
    """A producer that sends one event with a wrong time over and over, and nothing else comes."""
    honest = hourly(20)
    bad = One(honest[300].time_ms + 20 * DAY, "station 1", "again")
    events = with_bad(honest, [(300, bad)] * 3_000)
    whole = judge(events)
    assert whole.lost(events) == Counter()
    assert max(whole.leaps) == 0
    assert Counter(whole.fate.values()) == {"windowed": len(honest), "held": HELD_MAX // 2, "rejected": 3_000 - 512}
    cut = judge(events, range(0, len(events), 77))
    assert (cut.entries, cut.state) == (whole.entries, whole.state)


# Bounds ------------------------------------------------------------------------------------------------------------


def test_held_events_are_bounded_and_the_furthest_is_given_up() -> None:
    honest = hourly(30, 12)
    bad = [(200 + 2 * k, One(YEAR_2099 + k * DAY)) for k in range(1_000)]
    events = with_bad(honest, bad)
    judged = judge(events, range(0, len(events), 100))
    assert judged.lost(events) == Counter()
    assert Counter(judged.fate.values()) == {"windowed": len(honest), "held": HELD_MAX // 2, "rejected": 488}
    assert max(one.time_ms for one in judged.state.held) < YEAR_2099 + 512 * DAY


def test_bodies_that_are_held_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "HELD_BYTES_MAX", 60)
    events = with_bad(hourly(10), [(400 + 2 * k, One(YEAR_2099 + k)) for k in range(40)])
    judged = judge(events)
    assert judged.lost(events) == Counter()
    assert sum(len(one.value) for one in judged.state.held) <= 30


def test_large_bodies_that_wait_for_lack_of_panes_are_judged_the_same_under_any_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "HELD_BYTES_MAX", 40)
    windows = WindowsConfig(pane=Duration(HOUR), max_future=Duration(300 * HOUR), max_open_panes=8)
    honest = hourly(10)
    bad = [(200, One(honest[200].time_ms + (30 + k) * HOUR, id=str(k))) for k in range(12)]
    events = with_bad(honest, bad)
    whole, cut = judge(events, [], windows), judge(events, range(len(events)), windows)
    assert max(whole.leaps) > 0, "their bodies have made it a run"
    assert (cut.entries, cut.state) == (whole.entries, whole.state)


def test_a_run_that_makes_no_sense_is_believed_before_there_is_no_room() -> None:
    """A thousand stations each of which says another year: nothing waits for ever."""
    events = [*hourly(5), *(One(START + (50 + k * 37 % 997) * DAY, f"new {k}") for k in range(600))]
    judged = judge(events)
    assert max(judged.leaps) > 0
    assert judged.leaps.index(max(judged.leaps)) == 5 * 24 * 4 + HELD_MAX // 2 - 1


def test_panes_ahead_do_not_crowd_out_those_of_the_stream() -> None:
    """A hundred wrong events, each in a pane of its own within ``max_future``, and room for eight panes."""
    honest = hourly(20)
    windows = WindowsConfig(pane=Duration(HOUR), max_future=Duration(300 * HOUR), max_open_panes=8)
    bad = [(200 + k, One(honest[200].time_ms + (30 + k) * HOUR)) for k in range(100)]
    events = with_bad(honest, bad)
    judged = judge(events, [], windows)
    assert judged.lost(events) == Counter()


def test_panes_that_have_closed_take_no_room_whatever_the_cut() -> None:
    """Two panes of four are open at an hour's first event, one at its last, with which one for two hours on comes."""
    honest, windows = hourly(3, 40), WindowsConfig(pane=Duration(HOUR), max_open_panes=4)
    events = with_bad(honest, [(40 * h + 39, One(honest[40 * h].time_ms + 2 * HOUR)) for h in range(20, 60, 5)])
    whole, cut = judge(events, [], windows), judge(events, range(len(events)), windows)
    assert (cut.entries, cut.state) == (whole.entries, whole.state)
    assert "held" not in whole.fate.values()


# The clock that is the newest event --------------------------------------------------------------------------------


def test_late_means_the_pane_was_closed_by_rows_before() -> None:
    judged = judge(at(100, 1_400, 200, 1_600, 300, 1_700), [], NEWEST)
    assert fates(judged) == ["windowed"] * 4 + ["late", "windowed"]


def test_far_future_cannot_move_the_newest_event() -> None:
    judged = judge(at(1_000, 10**12, 1_100), [], NEWEST)
    assert fates(judged) == ["windowed", "held", "windowed"]
    assert judged.closed[2] == judged.closed[0]


def test_duplicates_within_open_panes() -> None:
    events = [One(t, id=key) for t, key in zip((100, 150, 200, 5_000, 5_100), "aabca", strict=True)]
    assert fates(judge(events, [], NEWEST)) == ["windowed", "duplicate", "windowed", "windowed", "windowed"]


def test_a_held_event_is_a_copy_where_another_one_came_before_it_was_judged_again() -> None:
    events = [One(1_000, id="a"), One(90_000, id="b"), One(90_500, id="b"), One(15_000), One(30_000), One(45_000)]
    events += [One(60_000), One(75_000), One(90_000)]
    assert fates(judge(events, [], NEWEST))[1:3] == ["windowed", "duplicate"]
