"""The budget of strange events: so many a day are expected to be told while nothing changes, and one message comes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incidents import EXAMPLES_MAX, StrangeEvents
from schemas.records import TOP_MAX, TopEvent
from stream_app.stages.judge.facts import PaneFacts
from stream_app.stages.judge.singles import Singles
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.making import DAY, HOUR, START, config, top_event

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]
MIDNIGHT = START // DAY * DAY


def pane(k: int, events: int, top: list[TopEvent] | None = None, service: str = "m1") -> PaneFacts:
    start = MIDNIGHT + k * HOUR
    return PaneFacts(start, start + HOUR, events, {"station": 12}, service, sorted(top or [], key=_p), {}, {})


def _p(event: TopEvent) -> float:
    return event.p_value


def singles(per_day: float = 1.0) -> Singles:
    return Singles(config(alerts={"single_events_per_day": per_day}))


# The promise.


def independent(rng: np.random.Generator, runs: int, n: int) -> Floats:
    return rng.random((runs, n))


def all_alike(rng: np.random.Generator, runs: int, n: int) -> Floats:
    """The most dependent ones there are: all events of a pane have one p-value."""
    return np.repeat(rng.random((runs, 1)), n, axis=1)


def in_bursts(rng: np.random.Generator, runs: int, n: int) -> Floats:
    """Runs of ten with one p-value each."""
    return np.repeat(rng.random((runs, n // 10 + 1)), 10, axis=1)[:, :n]


def crowding(rng: np.random.Generator, runs: int, n: int) -> Floats:
    """One of a pane lies in each n-th part of what there is, so that there is always a small one."""
    return (np.arange(n) + rng.random((runs, n))) / n


def steady(day: int, hour: int) -> int:
    return 40


def by_the_hour(day: int, hour: int) -> int:
    return 5 + 70 * (8 <= hour < 20)


def growing(day: int, hour: int) -> int:
    return 10 + 8 * day


def bursting(day: int, hour: int) -> int:
    """Nearly nothing for days, and then a day of a hundred times as much."""
    return 300 if day % 9 == 8 else 3


def thresholds(events: Callable[[int, int], int], per_day: float, days: int) -> Floats:
    """Of each pane: they follow from how many events come, and from nothing else."""
    state, found = singles(per_day), list[float]()
    for k in range(24 * days):
        state.judge(pane(k, events(*divmod(k, 24))), ())
        found.append(state.threshold)
    return np.array(found)


def told_a_day(draw: Draw, events: Callable[[int, int], int], runs: int = 1_500, days: int = 18) -> Floats:
    """Events a day at or below the thresholds of a budget of 1 a day, in each run."""
    rng, counted = np.random.default_rng(17), np.zeros(runs)
    for k, threshold in enumerate(thresholds(events, 1.0, days).tolist()):
        p = draw(rng, runs, events(*divmod(k, 24)))
        counted += (p <= threshold).sum(axis=1)
    return counted / days


@pytest.mark.parametrize("draw", [independent, all_alike, in_bursts, crowding])
@pytest.mark.parametrize("events", [steady, by_the_hour, growing, bursting])
def test_no_more_than_the_budget_is_expected_however_events_depend_and_come(
    draw: Draw, events: Callable[[int, int], int]
) -> None:
    """The mean over runs, with 99.99 % confidence, against the budget."""
    rates = told_a_day(draw, events)
    error = 3.9 * rates.std() / np.sqrt(len(rates))
    print(f"{draw.__name__}, {events.__name__}: {rates.mean():.3f} ± {error:.3f} a day")
    assert rates.mean() - error <= 1.0
    assert rates.mean() > 0.3  # and the budget is spent, as far as days are as busy as the busiest


def test_a_steady_stream_spends_its_budget() -> None:
    assert told_a_day(independent, steady).mean() == pytest.approx(1.0, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.floats(1e-6, 1e-1)), min_size=1, max_size=60))
def test_thresholds_do_not_follow_from_p_values(panes: list[tuple[int, float]]) -> None:
    with_events, without = singles(), singles()
    for k, (events, p) in enumerate(panes):
        with_events.judge(pane(k, events, [top_event("Dongsi", p, k)]), ())
        without.judge(pane(k, events), ())
        assert with_events.threshold == without.threshold


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=24 * 5), st.sampled_from([0.1, 1.0, 50.0]))
def test_thresholds_times_events_never_exceed_the_budget_of_a_day(counts: list[int], per_day: float) -> None:
    """What the promise follows from, by linearity alone: a pane's events times its threshold are expected at most."""
    state, spent = singles(per_day), dict[int, float]()
    for k, n in enumerate(counts):
        state.judge(pane(k, n), ())
        spent[k // 24] = spent.get(k // 24, 0.0) + n * state.threshold
    assert max(spent.values()) <= per_day * (1 + 1e-9)


def test_a_message_says_by_which_threshold_its_events_were_counted_and_not_that_of_the_pane_it_is_sent_in() -> None:
    state = singles()
    state.judge(pane(0, 10, [top_event("Dongsi", 1e-9, 0)]), ())
    state.judge(pane(1, 10, [top_event("Dongsi", 1e-9, 1)]), ())
    counted_by = state.threshold
    (message,) = [message for k in range(2, 30) for message in state.judge(pane(k, 0), ())]
    assert (message.count, message.threshold) == (1, counted_by)


def test_the_busiest_of_the_last_28_days_counts() -> None:
    state = singles(2.4)
    for k in range(24):
        state.judge(pane(k, 100), ())
    state.judge(pane(24, 10), ())
    assert state.threshold == pytest.approx(2.4 / 2_400)
    for k in range(25, 24 * 29):
        state.judge(pane(k, 10), ())
    assert state.threshold == pytest.approx(2.4 / 2_400)
    state.judge(pane(24 * 29, 10), ())
    assert state.threshold == pytest.approx(2.4 / 240)


def test_panes_without_events_and_days_without_panes() -> None:
    state = singles()
    assert state.judge(pane(0, 0), ()) == []
    assert state.threshold == 0.0
    state.judge(pane(24 * 400, 10), ())
    assert state.threshold == pytest.approx(1 / 240)


# Messages.


def told(said: list[StrangeEvents]) -> list[tuple[int, int]]:
    return [(of.count, (of.pane_end_ms - MIDNIGHT) // HOUR) for of in said]


def test_the_first_comes_at_once_and_those_of_the_day_after_it_as_one_message() -> None:
    state, said = singles(24.0), list[StrangeEvents]()
    for k in range(24 * 5):
        strange = [top_event("Dongsi", 1e-5, k)] if k in (5, 7, 8, 20, 100) else []
        said += state.judge(pane(k, 60, strange), ())
    assert told(said) == [(1, 6), (3, 30), (1, 101)]
    assert [of.from_ms for of in said] == [MIDNIGHT + k * HOUR for k in (5, 7, 100)]
    assert [[event.offset for event in of.events] for of in said] == [[5], [7, 8, 20], [100]]
    assert len({of.id for of in said}) == 3


def test_what_a_message_says() -> None:
    state = singles(0.1)
    (one,) = state.judge(pane(0, 60, [top_event("Dongsi", 1e-6)]), ())
    assert one.summary == (
        "1 single event stands out since 4 Mar 2017 00:00 UTC: the strangest is of Dongsi at 4 Mar 2017 06:00 UTC, "
        "mostly for its TEMP (partition 2, offset 0); while nothing changes 0.1 a day are expected, or fewer."
    )
    assert (one.per_day, one.model_id, one.count) == (0.1, "m1", 1)
    assert one.threshold == pytest.approx(0.1 / 1_440)


def test_a_burst_is_one_message_with_a_count_and_the_strangest() -> None:
    state = singles()
    (burst,) = state.judge(pane(0, 60, [top_event("Dongsi", 1e-9 * (TOP_MAX - k), k) for k in range(TOP_MAX)]), ())
    assert (burst.count, len(burst.events)) == (TOP_MAX, EXAMPLES_MAX)
    assert burst.events[0].offset == TOP_MAX - 1
    assert burst.summary.startswith(f"At least {TOP_MAX} single events stand out ")  # no more are named of a pane


def test_those_of_slices_with_an_open_incident_are_told_there() -> None:
    state = singles()
    assert state.judge(pane(0, 60, [top_event("Dongsi", 1e-9)]), {"Dongsi"}) == []
    (said,) = state.judge(pane(1, 60, [top_event("Dongsi", 1e-9), top_event("Tiantan", 1e-9)]), {"Dongsi"})
    assert [of.slice for of in said.events] == ["Tiantan"]


def test_events_that_are_strange_and_not_that_strange_are_not_told() -> None:
    state = singles(0.1)
    assert state.judge(pane(0, 60, [top_event("Dongsi", 1e-4)]), ()) == []


def test_whether_p_values_are_fine_enough_can_be_seen() -> None:
    """Of a thousand rows of calibration the smallest p-value is a thousandth: a threshold below it tells nothing."""
    state = singles(0.1)
    for k in range(48):
        assert state.judge(pane(k, 60, [top_event("Dongsi", 1e-3, k)]), ()) == []
    assert state.blind
    assert (state.smallest, state.threshold) == (1e-3, pytest.approx(0.1 / 1_440))
    state.judge(pane(48, 60, [top_event("Dongsi", 1e-5)], service="m2"), ())
    assert not state.blind
    state.judge(pane(49, 60, service="m3"), ())
    assert state.smallest == 1.0  # nothing is known of the next model yet


def test_of_a_sensitive_column_no_value_is_told() -> None:
    state = Singles(config(event={"sensitive": ["TEMP"]}))
    (said,) = state.judge(pane(0, 60, [top_event("Dongsi", 1e-9)]), ())
    assert [blame.detail for of in said.events for blame in of.blame] == [""]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.floats(1e-6, 1e-2), st.booleans()), min_size=1, max_size=80))
def test_a_restart_changes_nothing(panes: list[tuple[int, float, bool]]) -> None:
    plain, restored = singles(), singles()
    for k, (events, p, comes) in enumerate(panes):
        facts = pane(k, events, [top_event("Dongsi", p, k)] if comes and events else [])
        assert plain.judge(facts, ()) == restored.judge(facts, ())
        state = pack(restored.to_state())
        restored = singles()
        restored.restore(unpack(state))
        assert pack(restored.to_state()) == state == pack(plain.to_state())
