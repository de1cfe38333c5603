"""What is normal of arrivals: of few events, at hours at which nothing comes, of slices with hours of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.encoder.zones import local
from flowlib.reference import counts
from flowlib.reference.counts import fit_volume
from flowlib.reference.reference import HOURS, QUIET_PANES_MAX, hour_of_week
from flowlib.table import DAY_MS, Ints

HOUR_MS = 3_600_000
START = 4 * 24  # a Monday, in hours


def arrivals(rates: Any, seed: int = 0) -> tuple[Ints, Ints]:
    """Slice and time of Poisson arrivals at ``rates (panes, slices)``, an hour each."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(rates)
    hour, code = (
        np.repeat(np.arange(len(n)), n.sum(axis=1)),
        np.repeat(np.tile(np.arange(n.shape[1]), len(n)), n.ravel()),
    )
    return code, (START + hour) * HOUR_MS + rng.integers(0, HOUR_MS, len(hour))


@pytest.mark.parametrize(("slices", "rate"), [(1, 0.2), (1, 1.0), (3, 0.1), (20, 6.0)])
def test_panes_without_an_event_count(slices: int, rate: float) -> None:
    found = fit_volume(*arrivals(np.full((720, slices), rate)), HOUR_MS, slices, "UTC")
    assert found["rate"][1:].mean() == pytest.approx(rate, rel=0.25)


@pytest.mark.parametrize("days", [5, 10, 20])
def test_at_hours_at_which_nothing_comes_nothing_is_expected(days: int) -> None:
    hours = np.arange(24 * days)
    open_ = (hours % 24 >= 8) & (hours % 24 < 18)
    profile = fit_volume(*arrivals(6.0 * np.repeat(open_[:, None], 20, axis=1)), HOUR_MS, 20, "UTC")["profile"]
    at_night = ~open_[hour_of_week(np.arange(HOURS) * HOUR_MS, "UTC") % 24]
    assert profile[at_night].max() < 0.03
    assert profile[~at_night] == pytest.approx(np.full((~at_night).sum(), 2.4), rel=0.25)


def test_weekends_are_told_from_weekdays_as_far_as_chance_allows() -> None:
    hours = np.arange(24 * 28)
    working = hours // 24 % 7 < 5
    came = arrivals(np.repeat(np.where(working, 6.0, 0.6)[:, None], 20, axis=1))
    profile = fit_volume(*came, HOUR_MS, 20, "UTC")["profile"]
    usual = np.where(np.arange(HOURS) // 24 < 5, 6.0, 0.6)
    assert profile == pytest.approx(usual / usual.mean(), rel=0.5)
    even = fit_volume(*arrivals(np.full((24 * 28, 20), 6.0)), HOUR_MS, 20, "UTC")["profile"]
    assert np.abs(even - 1).max() < 0.1, "no hour differs, and none is said to"


@pytest.mark.parametrize(
    ("zone", "change"), [("Europe/Berlin", 1_616_893_200_000), ("America/New_York", 1_636_264_800_000)]
)
def test_office_hours_keep_their_place_over_a_clock_change(zone: str, change: int) -> None:
    """Open from 8 to 18 on the stream's own clock: four weeks before the change say what comes after it."""
    hours = change // HOUR_MS + np.arange(-24 * 28, 24 * 28)
    at = local(zone, hours * HOUR_MS) % DAY_MS // HOUR_MS
    open_ = (at >= 8) & (at < 18)
    before = hours * HOUR_MS < change
    code, came = arrivals(np.repeat(np.where(open_[before], 6.0, 0.0)[:, None], 20, axis=1))
    found = fit_volume(code, came + (hours[0] - START) * HOUR_MS, HOUR_MS, 20, zone)
    expected = found["profile"][hour_of_week(hours[~before] * HOUR_MS, zone)]
    assert expected[~open_[~before]].max() < 0.03
    assert expected[open_[~before]].min() > 1.5


def test_a_slice_that_closes_at_night_has_a_variance_ratio_of_its_own() -> None:
    rates = np.full((240, 20), 6.0)
    rates[:, 4] *= np.arange(240) % 24 < 10
    found = fit_volume(*arrivals(rates), HOUR_MS, 20, "UTC")["rate_inflation"]
    assert found[5] > 8
    assert np.median(found[1:]) < 1.3


def test_a_long_gap_counts_as_far_as_it_is_gone_through() -> None:
    code, time_ms = arrivals(np.full((200, 2), 6.0))
    later = time_ms + 100_000 * HOUR_MS
    found = fit_volume(np.r_[code, code], np.r_[time_ms, later], HOUR_MS, 2, "UTC")
    assert found["rate"][1:] == pytest.approx(np.full(2, 6.0 * 400 / (400 + QUIET_PANES_MAX)), rel=0.05)


def test_of_more_counts_than_fit_into_memory_the_newest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_CELLS_MAX", 800)
    rates = np.concatenate([np.full((400, 2), 60.0), np.full((400, 2), 6.0)])
    assert fit_volume(*arrivals(rates), HOUR_MS, 2, "UTC")["rate"][1:] == pytest.approx(np.full(2, 6.0), rel=0.05)
