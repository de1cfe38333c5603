"""Sums of groups of events are those of the events one by one, whichever way they are summed."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from schemas.pane_layout import PaneLayout
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score import sums
from stream_app.stages.score.sums import Groups, add_events, event_sums, odd_sums
from tests.stages.score.test_panes import LAYOUT, PAIRS, in_time, scored


def one_by_one(layout: PaneLayout, batch: ScoredBatch, codes: Ints, rows: Ints) -> list[Ints]:
    made = []
    for code in sorted({*codes[rows].tolist()}):
        own = [
            event_sums(layout, batch, PAIRS, Groups.of(codes, rows[[i]])) for i in np.flatnonzero(codes[rows] == code)
        ]
        made.append(layout.merge_sorted(np.concatenate(own), np.zeros(1, dtype=np.int64))[0])
    return made


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
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 12), st.booleans())
def test_both_forms_give_the_same_rows(seed: int, n: int, most: int, gaps: bool) -> None:
    rng, batch, layout = np.random.default_rng(seed), scored(seed, n), LAYOUT
    batch.events.numeric[:, 0] = rng.choice([0.0, -0.0, -1.5, 3e38, -np.inf], n)
    if not gaps:
        batch.missing[:], batch.events.numeric[:, 1] = False, rng.standard_normal(n)
    batch.log_prob[: n // 2] = rng.integers(-(2**17), 2**17, n // 2) / 2.0**17  # half-way between two whole numbers
    place, which = rng.integers(0, most, n), np.flatnonzero(rng.random(n) < 0.8)
    if not len(which):
        return
    rows = layout.blank(most)
    rows[:, layout.columns["seen"]] = 7
    plain = rows.copy()
    add_events(layout, batch, PAIRS, which, place, rows)
    with mock.patch.object(sums, "_panes", None):
        add_events(layout, batch, PAIRS, which, place, plain)
    assert np.array_equal(rows, plain)


def test_a_place_beyond_the_rows_is_refused() -> None:
    pytest.importorskip("stream_app.native._panes")
    batch, rows = scored(1, 3), LAYOUT.blank(2)
    for which, place in (([0, 3], [0, 1, 0, 0]), ([0, 1], [0, 2, 0]), ([0, 1], [0, -1, 0])):
        with pytest.raises(ValueError, match="has a place that is not there"):
            add_events(LAYOUT, batch, PAIRS, np.array(which), np.array(place), rows)
    batch.group[1, 0] = 9
    with pytest.raises(ValueError, match="group has a place that is not there"):
        add_events(LAYOUT, batch, PAIRS, np.arange(3), np.zeros(3, np.int64), rows)
    assert np.array_equal(rows, LAYOUT.blank(2))


def test_events_of_less_use_are_counted() -> None:
    batch = scored(3, 6)
    batch.scorable[[1, 2]] = False
    events = replace(batch.events, coerced=np.array([0, 2, 0, 0, 1, 0]))
    timing = replace(in_time(6), late=np.array([False, True, False, False, False, True]))
    rows = odd_sums(LAYOUT, replace(batch, events=events), timing, Groups.of(np.zeros(6, np.int64), np.arange(6)))
    assert [int(LAYOUT.get(rows, name)[0]) for name in ("late", "unscorable", "coerced", "seen")] == [2, 1, 2, 0]
