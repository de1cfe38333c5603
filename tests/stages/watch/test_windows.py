"""Rolling windows: running totals equal the brute-force sum over the span, whatever the gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.pane_layout import PaneLayout
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.windows import BUCKETS_MAX, Ring, SlicingWindows, bucket_ms, span_name

PANE = 1_000
LAYOUT = PaneLayout(1)

PANES = st.lists(
    st.tuples(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 5), st.integers(1, 99)), max_size=4)), max_size=30
)
"""(panes skipped + 1, (slice, value) …) one after the other: gaps included."""


def play(ring: Ring, panes: list[tuple[int, list[tuple[int, int]]]]) -> list[tuple[int, int, int]]:
    """Feed the panes; (time, slice, value) of everything added. Checks the totals after each pane."""
    added: list[tuple[int, int, int]] = []
    start = 0
    for gap, entries in panes:
        start += gap * PANE
        values = dict(entries)
        at = np.array(sorted(values), dtype=np.int64)
        ring.grow(int(at.max(initial=-1)) + 1)
        rows = np.array([[values[i]] * LAYOUT.width for i in at.tolist()], dtype=np.int64).reshape(-1, LAYOUT.width)
        ring.add(ring.advance(start), at, rows)
        added += [(start, i, values[i]) for i in at.tolist()]
        check(ring, start, added)
    return added


def first_ms(ring: Ring, pane_start_ms: int) -> int:
    """Start of the window that ends with a pane."""
    return (pane_start_ms // ring.bucket_ms - len(ring.bucket) + 1) * ring.bucket_ms


def check(ring: Ring, start: int, added: list[tuple[int, int, int]]) -> None:
    """Totals against a sum over ``[first_ms, end of the pane)``."""
    expected = np.zeros(ring.total.shape, dtype=np.int64)
    for at, i, value in added:
        if first_ms(ring, start) <= at <= start:
            expected[i] += value
    assert np.array_equal(ring.total, expected)
    assert np.array_equal(ring.rows.sum(axis=0), expected)


@settings(max_examples=150, deadline=None)
@given(PANES, st.sampled_from([1, 2, 7, 28, 29, 30, 56, 336]))
def test_totals_are_the_sum_over_the_span(panes: list[tuple[int, list[tuple[int, int]]]], span: int) -> None:
    play(Ring.empty(span * PANE, PANE, LAYOUT.width), panes)


@pytest.mark.parametrize("span", [1, 2, 7, 28, 29, 31, 56, 112, 336, 1_000])
def test_the_span_is_cut_into_equal_whole_panes(span: int) -> None:
    length = bucket_ms(span * PANE, PANE)
    assert length % PANE == 0
    assert (span * PANE) % length == 0
    assert (span * PANE) // length <= BUCKETS_MAX
    finer = [k for k in range(span * PANE // length + 1, BUCKETS_MAX + 1) if span % k == 0]
    assert finer == []


def test_the_window_covers_the_span_less_the_part_of_a_bucket() -> None:
    ring = Ring.empty(56 * PANE, PANE, 1)
    assert ring.bucket_ms == 2 * PANE
    assert first_ms(ring, 100 * PANE) == (100 - 54) * PANE
    assert first_ms(ring, 101 * PANE) == (101 - 55) * PANE


def test_a_gap_longer_than_the_span_empties_the_ring() -> None:
    ring = Ring.empty(4 * PANE, PANE, LAYOUT.width)
    play(ring, [(1, [(0, 5), (1, 6)]), (1, [(0, 7)])])
    assert ring.total[0, 0] == 12
    ring.advance(50 * PANE)
    assert not ring.total.any()
    assert not ring.rows.any()


def test_forget_model_keeps_what_does_not_depend_on_it() -> None:
    ring = Ring.empty(4 * PANE, PANE, LAYOUT.width)
    play(ring, [(1, [(0, 5), (1, 6)]), (1, [(0, 7), (1, 8)])])
    ring.forget_model(np.array([1]), LAYOUT)
    assert ring.total[0].tolist() == [12] * LAYOUT.width
    free = LAYOUT.model_free
    assert ring.total[1].tolist() == [14] * free + [0] * (LAYOUT.width - free)
    assert np.array_equal(ring.rows.sum(axis=0), ring.total)


@settings(max_examples=40, deadline=None)
@given(PANES, st.integers(0, 3))
def test_totals_after_forgetting_stay_consistent(
    panes: list[tuple[int, list[tuple[int, int]]]], forgotten: int
) -> None:
    ring = Ring.empty(6 * PANE, PANE, LAYOUT.width)
    ring.grow(6)
    play(ring, panes)
    ring.forget_model(np.array([forgotten]), LAYOUT)
    ring.advance(sum(gap for gap, _ in panes) * PANE + 3 * PANE)
    assert np.array_equal(ring.rows.sum(axis=0), ring.total)
    assert (ring.total >= 0).all()
    ring.advance(10**6 * PANE)
    assert not ring.total.any()


def test_model_free_columns_come_first() -> None:
    names = list(LAYOUT.shapes)
    assert names[: names.index("scored")] == ["seen", "late", "unscorable", "missing"]
    assert LAYOUT.columns["scored"].start == LAYOUT.model_free


@settings(max_examples=30, deadline=None)
@given(PANES, PANES)
def test_a_restored_ring_goes_on_the_same(
    before: list[tuple[int, list[tuple[int, int]]]], after: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    windows = SlicingWindows([Ring.empty(6 * PANE, PANE, LAYOUT.width), Ring.empty(56 * PANE, PANE, LAYOUT.width)])
    for name in "abcdef":
        windows.ensure(name, "m")
    for ring in windows.rings:
        play(ring, before)
    back = SlicingWindows.from_state(unpack(pack(windows.to_state())))
    start = sum(gap for gap, _ in before) * PANE
    for each in (windows, back):
        for ring in each.rings:
            for gap, entries in after:
                at = np.array(sorted(dict(entries)), dtype=np.int64)
                ring.add(ring.advance(start + gap * PANE), at, np.ones((len(at), LAYOUT.width), np.int64))
    assert pack(back.to_state()) == pack(windows.to_state())
    assert (back.index, back.model) == (windows.index, windows.model)


def test_ensure_gives_each_slice_one_index_for_good() -> None:
    windows = SlicingWindows([Ring.empty(2 * PANE, PANE, 3)])
    assert [windows.ensure(name, "m") for name in ("b", "a", "b", "c", "a")] == [0, 1, 0, 2, 1]
    assert windows.model == ["m", "m", "m"]
    assert windows.rings[0].total.shape[0] >= 3


@pytest.mark.parametrize(
    ("ms", "name"), [(604_800_000, "7d"), (21_600_000, "6h"), (90_000, "90s"), (60_000, "1m"), (1_500, "1500ms")]
)
def test_span_names(ms: int, name: str) -> None:
    assert span_name(ms) == name
