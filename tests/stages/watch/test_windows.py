"""Rolling windows: totals equal the brute-force sum over the span, whatever the gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Duration, WindowsConfig
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.summary import COLUMNS, MODEL_FREE, WIDTH, summary
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.windows import BUCKETS_MAX, Ring, SlicingWindows, bucket_ms, rings, span_name

PANE, HOUR_MS = 1_000, 3_600_000
LAYOUT = PaneLayout(2)
SPANS = [2, 7, 8, 28, 56]

PANES = st.lists(
    st.tuples(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 5), st.integers(1, 99)), max_size=4)), max_size=30
)
"""(panes skipped + 1, (slice, value) …) one after the other: gaps included."""
Panes = list[tuple[int, list[tuple[int, int]]]]


def windows_of(*spans: int) -> SlicingWindows:
    made = [Duration(span * PANE) for span in spans]
    return SlicingWindows.empty(WindowsConfig(pane=Duration(PANE), spans=made))


def pane(start: int, values: dict[int, int], model: str = "m") -> SlicingPane:
    """A pane of slices named by a number, whose every column holds a value."""
    names = [str(i) for i in sorted(values)]
    rows = np.array([[values[int(n)]] * LAYOUT.width for n in names], dtype=np.int64).reshape(-1, LAYOUT.width)
    return SlicingPane("k", start, start + PANE, names, [model] * len(names), rows, [])


def played(panes: Panes, first: int = 0) -> Iterator[SlicingPane]:
    start = first
    for gap, entries in panes:
        start += gap * PANE
        yield pane(start, dict(entries))


def value(rows: Ints) -> list[int]:
    """The first column of summaries; all sums of one column hold the same here."""
    return [int(n) for n in rows[:, 0]]


@settings(max_examples=100, deadline=None)
@given(PANES)
def test_totals_are_the_sum_over_each_span(panes: Panes) -> None:
    windows, added = windows_of(*SPANS), list[tuple[int, str, int]]()
    for one in played(panes):
        index = windows.enter(one, LAYOUT)
        added += zip([one.start_ms] * len(one.names), one.names, one.rows[:, 0].tolist(), strict=True)
        for span, totals in windows.spans(one.start_ms, index):
            length = windows.of_span[span]
            first = (one.start_ms // length - span // length + 1) * length
            expected = [sum(n for at, of, n in added if of == name and first <= at) for name in one.names]
            assert value(totals) == expected, f"span of {span} ms"


@pytest.mark.parametrize("span", [1, 2, 7, 28, 29, 31, 56, 112, 336, 1_000])
def test_the_span_is_cut_into_equal_whole_panes(span: int) -> None:
    length = bucket_ms(span * PANE, PANE)
    assert length % PANE == 0
    assert (span * PANE) % length == 0
    assert (span * PANE) // length <= BUCKETS_MAX
    finer = [k for k in range(span * PANE // length + 1, BUCKETS_MAX + 1) if span % k == 0]
    assert finer == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=5, unique=True))
def test_spans_share_rings_whose_buckets_they_are_a_whole_number_of(panes: list[int]) -> None:
    spans = sorted(n * PANE for n in panes)
    chosen = rings(spans, PANE)
    assert list(chosen) == spans
    for span, (length, k) in chosen.items():
        assert length % PANE == 0
        assert span % length == 0
        assert span // length <= k
    sizes = dict(chosen.values())
    assert all(
        k == max(span // length for span, (own, _) in chosen.items() if own == length) for length, k in sizes.items()
    )


def test_the_usual_spans_have_a_ring_of_hours_and_one_of_days() -> None:
    windows = SlicingWindows.empty(WindowsConfig())
    spans = [int(span) for span in WindowsConfig().spans]
    assert [span // DAY_MS for span in spans] == [1, 7, 28]
    assert {length // HOUR_MS: len(ring.bucket) for length, ring in windows.rings.items()} == {1: 24, 24: 28}
    assert sum(ring.rows[:, :1].nbytes for ring in SlicingWindows.empty(WindowsConfig()).rings.values()) == 0
    index = windows.enter(pane(0, {0: 1}), LAYOUT)
    assert sum(len(ring.bucket) for ring in windows.rings.values()) * WIDTH * 8 <= 8_000, "bytes of a slice"
    assert index.tolist() == [0]


def test_a_gap_longer_than_the_span_empties_it() -> None:
    windows = windows_of(4)
    windows.enter(pane(0, {0: 5, 1: 6}), LAYOUT)
    index = windows.enter(pane(PANE, {0: 7}), LAYOUT)
    assert value(next(windows.spans(PANE, index))[1]) == [12]
    index = windows.enter(pane(50 * PANE, {}), LAYOUT)
    assert not next(windows.spans(50 * PANE, np.array([0, 1])))[1].any()


def test_another_model_forgets_what_depends_on_it_and_keeps_the_rest() -> None:
    windows = windows_of(4)
    windows.enter(pane(0, {0: 5, 1: 6}), LAYOUT)
    index = windows.enter(pane(PANE, {0: 7}, "n"), LAYOUT)
    totals = next(windows.spans(PANE, np.array([0, 1])))[1]
    missing = COLUMNS["missing"].start
    assert totals[0, [i for i in range(MODEL_FREE) if i != missing]].tolist() == [12] * (MODEL_FREE - 1)
    assert totals[0, MODEL_FREE:].tolist() == [7] * (WIDTH - MODEL_FREE), "its own pane alone"
    assert totals[1, MODEL_FREE:].tolist() == [6] * (WIDTH - MODEL_FREE), "another slice"
    assert (index.tolist(), windows.model) == ([0], ["n", "m"])


def test_the_summary_holds_the_columns_that_it_names() -> None:
    rows = np.arange(2 * LAYOUT.width, dtype=np.int64).reshape(2, LAYOUT.width)
    short = summary(LAYOUT, rows)
    assert short.shape == (2, WIDTH)
    for name, place in COLUMNS.items():
        whole = rows[:, LAYOUT.columns[name]]
        assert np.array_equal(short[:, place], whole.sum(axis=1, keepdims=True) if name == "missing" else whole)
    free = [name for name, place in COLUMNS.items() if place.stop <= MODEL_FREE]
    assert all(LAYOUT.columns[name].stop <= LAYOUT.model_free for name in free)


@settings(max_examples=40, deadline=None)
@given(PANES, PANES)
def test_restored_windows_go_on_the_same(before: Panes, after: Panes) -> None:
    windows = windows_of(6, 56)
    for one in played(before):
        windows.enter(one, LAYOUT)
    back = SlicingWindows.from_state(unpack(pack(windows.to_state())))
    for one in played(after, sum(gap for gap, _ in before) * PANE):
        index = windows.enter(one, LAYOUT)
        assert back.enter(one, LAYOUT).tolist() == index.tolist()
        expected = [(span, totals.tolist()) for span, totals in windows.spans(one.start_ms, index)]
        assert [(span, totals.tolist()) for span, totals in back.spans(one.start_ms, index)] == expected
    assert pack(back.to_state()) == pack(windows.to_state())
    assert (back.index, back.model) == (windows.index, windows.model)


def test_ensure_gives_each_slice_one_index_for_good() -> None:
    windows = windows_of(2)
    assert [windows.ensure(name, "m") for name in ("b", "a", "b", "c", "a")] == [0, 1, 0, 2, 1]
    assert windows.model == ["m", "m", "m"]
    assert all(ring.rows.shape[1] >= 3 for ring in windows.rings.values())


def test_a_ring_grows_by_more_than_one_slice_at_a_time() -> None:
    ring = Ring.empty(PANE, 4)
    for m in range(1, 200):
        ring.grow(m)
        assert m <= ring.rows.shape[1] <= max(2 * m, 16)


@pytest.mark.parametrize(
    ("ms", "name"), [(604_800_000, "7d"), (21_600_000, "6h"), (90_000, "90s"), (60_000, "1m"), (1_500, "1500ms")]
)
def test_span_names(ms: int, name: str) -> None:
    assert span_name(ms) == name
