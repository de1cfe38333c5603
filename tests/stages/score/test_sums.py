"""Sums of groups of events are those of the events one by one, whichever way they are summed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from schemas.pane_layout import PaneLayout
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score.sums import Groups, event_sums, odd_sums
from tests.stages.score.test_panes import LAYOUT, PAIRS, in_time, scored


def one_by_one(layout: PaneLayout, batch: ScoredBatch, codes: Ints, rows: Ints) -> list[Ints]:
    sums = []
    for code in sorted({*codes[rows].tolist()}):
        own = [
            event_sums(layout, batch, PAIRS, Groups.of(codes, rows[[i]])) for i in np.flatnonzero(codes[rows] == code)
        ]
        sums.append(layout.merge_sorted(np.concatenate(own), np.zeros(1, dtype=np.int64))[0])
    return sums


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_any_groups_are_summed_alike(seed: int, n: int, most: int) -> None:
    rng, batch = np.random.default_rng(seed), scored(seed, n)
    batch.base[:] = rng.integers(-3_380, 3_381, batch.base.shape)
    codes, rows = rng.integers(0, most, n), np.flatnonzero(rng.random(n) < 0.8)
    if len(rows):
        groups = Groups.of(codes, rows)
        assert codes[groups.firsts].tolist() == sorted({*codes[rows].tolist()})
        assert np.array_equal(event_sums(LAYOUT, batch, PAIRS, groups), one_by_one(LAYOUT, batch, codes, rows))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80), st.booleans())
def test_coarser_groups_are_made_of_finer_ones_where_these_lie_in_them(seed: int, n: int, nested: bool) -> None:
    rng, batch = np.random.default_rng(seed), scored(seed, n)
    fine = rng.integers(0, 12, n)
    coarse = fine // 4 if nested else rng.integers(0, 3, n)
    rows = np.flatnonzero(rng.random(n) < 0.9)
    if len(rows):
        finer, groups = Groups.of(fine, rows), Groups.of(coarse, rows)
        made = groups.merged(LAYOUT, (finer, event_sums(LAYOUT, batch, PAIRS, finer)))
        lie_in = all(len({*coarse[rows][fine[rows] == code].tolist()}) <= 1 for code in range(12))
        assert (made is not None) == lie_in
        if made is not None:
            assert np.array_equal(made, event_sums(LAYOUT, batch, PAIRS, groups))


def test_events_of_less_use_are_counted() -> None:
    batch = scored(3, 6)
    batch.scorable[[1, 2]] = False
    events = replace(batch.events, coerced=np.array([0, 2, 0, 0, 1, 0]))
    timing = replace(in_time(6), late=np.array([False, True, False, False, False, True]))
    sums = odd_sums(LAYOUT, replace(batch, events=events), timing, Groups.of(np.zeros(6, np.int64), np.arange(6)))
    assert [int(LAYOUT.get(sums, name)[0]) for name in ("late", "unscorable", "coerced", "seen")] == [2, 1, 2, 0]
