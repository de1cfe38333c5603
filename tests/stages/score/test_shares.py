"""Evidence on a share: the promise, the delay, the end, and that cuts into batches cannot matter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from flowlib.table import Bools
from stream_app.stages.score.shares import ODDS, OPEN, Bets, Change, Share
from tests.stages.streams import cut

BETS = Bets(0.01)


def watched(hit: Bools, sizes: list[int], forced: Bools | None = None) -> tuple[list[Change], Share]:
    """What rows come to, in batches of these sizes, each from a snapshot; rows are those of the whole."""
    share, offsets, changes = Share(), np.arange(100, 100 + len(hit)), []
    for a, b in cut(len(hit), sizes):
        share = Share.from_state(share.to_state())
        part = None if forced is None else forced[a:b]
        for change in share.take(BETS, hit[a:b], offsets[a:b], part):
            changes.append(Change(a + change.row, *(getattr(change, name) for name in Change.__slots__[1:])))
    return changes, share


def states(changes: list[Change]) -> list[str]:
    return [change.state for change in changes]


@pytest.mark.parametrize("share", [0.005, 0.01])
def test_while_no_more_are_bad_than_tolerated_alarms_are_20_000_rows_apart_or_more(share: float, seed: int) -> None:
    n = 2_000_000
    changes, _ = watched(np.random.default_rng(seed).random(n) < share, [4_000])
    alarms = states(changes).count("open")
    assert alarms <= poisson.ppf(0.999, n / OPEN), f"seed {seed}"


def test_the_ratios_are_e_values_at_the_tolerated_share_and_below() -> None:
    for tolerated in (1e-5, 0.01, 0.3):
        bets = Bets(tolerated)
        for share in (0.0, tolerated / 2, tolerated):
            mean = share * np.exp(bets.up / 2**20) + (1 - share) * np.exp(-bets.down / 2**20)
            assert (mean <= 1.0).all()


@pytest.mark.parametrize("share", [1.0, 0.3, 0.1, 0.05, 0.03])
def test_a_larger_share_is_said_within_two_hundred_bad_rows(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit = np.concatenate([rng.random(20_000) < 0.002, rng.random(20_000) < share])
    changes, _ = watched(hit, [4_000])
    first = changes[0]
    assert first.state == "open", f"seed {seed}"
    assert hit[20_000 : first.row + 1].sum() <= 200, f"seed {seed}"
    assert first.hits == hit[first.since - 100 : first.row + 1].sum(), f"seed {seed}"
    assert first.rows == first.row + 1 - (first.since - 100), f"seed {seed}"


def test_it_ends_by_evidence_and_says_what_it_came_to() -> None:
    hit = np.zeros(5_000, dtype=bool)
    hit[1_000:1_300] = True
    changes, share = watched(hit, [4_000])
    assert states(changes) == ["open", "update", "resolve"]
    assert changes[0].row == 1_016
    last = changes[-1]
    assert (last.since, last.until, last.hits, last.rows) == (1_100, 1_399, 300, 300)
    assert last.row - 1_300 == pytest.approx(math.log(OPEN / 2) / (BETS.down[2] / 2**20), abs=2)
    assert share.open is None


def test_where_the_share_becomes_smaller_and_is_still_too_large_it_goes_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit = np.concatenate([np.ones(5_000, bool), rng.random(40_000) < 0.05, np.zeros(6_000, bool)])
    changes, _ = watched(hit, [4_000])
    assert states(changes).count("open") == 1, f"seed {seed}"
    assert changes[-1].state == "resolve", f"seed {seed}"
    assert changes[-1].row > 45_000, f"seed {seed}"


def test_outages_in_bursts_are_not_told_one_by_one() -> None:
    hit = np.zeros(1_000_000, dtype=bool)
    for start in range(0, len(hit), 1_000):
        hit[start : start + 30] = True
    assert states(watched(hit, [4_000])[0])[:3] == ["open", "resolve", "open"]
    assert states(watched(hit, [4_000])[0]).count("open") == 2


def test_sixteen_bad_rows_in_a_row_are_nothing_and_seventeen_are() -> None:
    assert states(watched(np.ones(16, dtype=bool), [4_000])[0]) == []
    assert states(watched(np.ones(17, dtype=bool), [4_000])[0]) == ["open"]


def test_a_row_may_open_an_incident_whatever_the_evidence() -> None:
    hit = np.zeros(2_000, dtype=bool)
    hit[500:503] = True
    forced = np.zeros(2_000, dtype=bool)
    forced[502] = True
    changes, _ = watched(hit, [700], forced)
    assert states(changes) == ["open", "resolve"]
    assert (changes[0].row, changes[0].since, changes[0].hits) == (502, 600, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.005, 0.02, 0.3, 1.0]), st.integers(1, 3_000)), min_size=1, max_size=6),
    st.lists(st.integers(1, 900), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_cuts_into_batches_do_not_matter(spells: list[tuple[float, int]], sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit = np.concatenate([rng.random(n) < share for share, n in spells])
    forced = hit & (rng.random(len(hit)) < 0.0005)
    whole = watched(hit, [len(hit)], forced)
    assert watched(hit, sizes, forced) == whole


def test_the_level_is_the_best_product_over_all_moments(seed: int) -> None:
    hit = np.random.default_rng(seed).random(400) < 0.02
    steps = BETS.steps(hit)
    _, share = watched(hit, [37])
    for b in range(len(ODDS)):
        best = max(0, *(int(steps[start:, b].sum()) for start in range(len(hit))))
        assert share.level[b] == best, f"seed {seed}"


def test_rows_without_a_bad_one_cost_nothing_and_count() -> None:
    share = Share()
    assert list(itertools.chain(*(share.take(BETS, np.zeros(10, bool), np.arange(10)) for _ in range(3)))) == []
    assert (share.rows, share.hits) == (30, 0)
