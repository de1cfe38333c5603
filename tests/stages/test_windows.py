"""Rolling windows: totals equal the brute-force sum over the span, whatever the gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS, Ints
from schemas.pane_layout import OTHER, PaneLayout
from stream_app.config import Duration, WindowsConfig
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.summary import COLUMNS, MODEL_FREE, WIDTH, summary
from stream_app.stages.windows import BUCKETS_MAX, Ring, SlicingWindows, bucket_ms, rings, span_name

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


def pane(start: int, values: dict[int, int], model: str = "m") -> SlicingPanes:
    """A pane of slices named by a number, whose every column holds a value."""
    names = [str(i) for i in sorted(values)]
    rows = np.array([[values[int(n)]] * LAYOUT.width for n in names], dtype=np.int64).reshape(-1, LAYOUT.width)
    return SlicingPanes("k", [start], [0, len(names)], names, [model] * len(names), rows, [], [[]])


def played(panes: Panes, first: int = 0) -> Iterator[SlicingPanes]:
    start = first
    for gap, entries in panes:
        start += gap * PANE
        yield pane(start, dict(entries))


def entered(windows: SlicingWindows, panes: SlicingPanes) -> tuple[Ints, dict[int, Ints]]:
    """Number of each cell's slice, and its sums over each span."""
    windows.admit(dict(zip(panes.names, panes.models, strict=True)))
    numbers, (_, *totals) = windows.enter(panes, LAYOUT)
    return numbers, dict(zip(windows.of_span, totals, strict=True))


def joined(panes: list[SlicingPanes]) -> SlicingPanes:
    """Panes as one."""
    edges = np.cumsum([0, *(len(one.names) for one in panes)]).tolist()
    names, models = ([x for one in panes for x in getattr(one, name)] for name in ("names", "models"))
    return SlicingPanes(
        "k",
        [one.starts_ms[0] for one in panes],
        edges,
        names,
        models,
        np.concatenate([one.rows for one in panes]),
        [],
        [],
    )


def value(rows: Ints) -> list[int]:
    """The first column of summaries; all sums of one column hold the same here."""
    return [int(n) for n in rows[:, 0]]


@settings(max_examples=100, deadline=None)
@given(PANES)
def test_totals_are_the_sum_over_each_span(panes: Panes) -> None:
    windows, added = windows_of(*SPANS), list[tuple[int, str, int]]()
    for one in played(panes):
        start = one.starts_ms[0]
        added += zip([start] * len(one.names), one.names, one.rows[:, 0].tolist(), strict=True)
        for span, totals in entered(windows, one)[1].items():
            length = windows.of_span[span]
            first = (start // length - span // length + 1) * length
            expected = [sum(n for at, of, n in added if of == name and first <= at) for name in one.names]
            assert value(totals) == expected, f"span of {span} ms"
        longest = max(SPANS) * PANE
        had = {
            of for at, of, _ in added if (start // windows.of_span[longest]) * windows.of_span[longest] - at < longest
        }
        idle = windows.idle(start)
        assert {*one.names} <= {name for name, i in windows.index.items() if i not in idle} <= had


@settings(max_examples=60, deadline=None)
@given(PANES, st.integers(0, 30))
def test_many_panes_at_once_come_to_the_same_as_one_by_one(panes: Panes, at: int) -> None:
    alone, together = windows_of(*SPANS), windows_of(*SPANS)
    each = list(played(panes))
    for part in (each[:at], each[at:]):
        if part:
            for windows in (alone, together):  # who is new is known before the others wait for each other
                windows.admit(dict.fromkeys([name for one in part for name in one.names], "m"))
            one_by_one = [entered(alone, one) for one in part]
            numbers, totals = entered(together, joined(part))
            assert numbers.tolist() == [n for of_pane, _ in one_by_one for n in of_pane.tolist()]
            for span, of_span in totals.items():
                assert of_span.tolist() == [row for _, of_pane in one_by_one for row in of_pane[span].tolist()]
    assert pack(together.to_state()) == pack(alone.to_state())


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
    assert sum(ring.counts[:, :1].nbytes for ring in SlicingWindows.empty(WindowsConfig()).rings.values()) == 0
    index, _ = entered(windows, pane(0, {0: 1}))
    assert sum(len(ring.bucket) for ring in windows.rings.values()) * WIDTH * 8 <= 8_000, "bytes of a slice"
    assert index.tolist() == [0]


def test_a_gap_longer_than_the_span_empties_it() -> None:
    windows = windows_of(4)
    entered(windows, pane(0, {0: 5, 1: 6}))
    assert value(entered(windows, pane(PANE, {0: 7}))[1][4 * PANE]) == [12]
    assert windows.idle(PANE).tolist() == []
    entered(windows, pane(50 * PANE, {}))
    assert windows.idle(50 * PANE).tolist() == [0, 1]
    assert value(entered(windows, pane(51 * PANE, {0: 2, 1: 3}))[1][4 * PANE]) == [2, 3]


def test_another_model_forgets_what_depends_on_it_and_keeps_the_rest() -> None:
    windows = windows_of(4)
    entered(windows, pane(0, {0: 5, 1: 6}))
    index, of_spans = entered(windows, pane(PANE, {0: 7}, "n"))
    totals, other = of_spans[4 * PANE], entered(windows, pane(PANE, {1: 0}))[1][4 * PANE]
    missing = COLUMNS["missing"].start
    assert totals[0, [i for i in range(MODEL_FREE) if i != missing]].tolist() == [12] * (MODEL_FREE - 1)
    assert totals[0, MODEL_FREE:].tolist() == [7] * (WIDTH - MODEL_FREE), "its own pane alone"
    assert other[0, MODEL_FREE:].tolist() == [6] * (WIDTH - MODEL_FREE), "another slice"
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
        entered(windows, one)
    back = SlicingWindows.from_state(unpack(pack(windows.to_state())))
    for one in played(after, sum(gap for gap, _ in before) * PANE):
        start = one.starts_ms[0]
        had = [of.idle(start).tolist() for of in (windows, back)]
        (index, totals), (of_back, expected) = entered(windows, one), entered(back, one)
        assert of_back.tolist() == index.tolist()
        assert all(np.array_equal(totals[span], expected[span]) for span in totals)
        assert had[0] == had[1]
    assert pack(back.to_state()) == pack(windows.to_state())
    assert (back.index, back.model) == (windows.index, windows.model)


def test_each_slice_has_one_number_for_good() -> None:
    windows = windows_of(2)
    for name in ("b", "a", "b", "c", "a"):
        windows.admit({name: "m"})
    assert windows.index == {"b": 0, "a": 1, "c": 2}
    assert windows.model == ["m", "m", "m"]
    assert all(ring.counts.shape[1] >= 3 for ring in windows.rings.values())


@settings(max_examples=40, deadline=None)
@given(PANES, PANES, st.sets(st.integers(0, 5)))
def test_slices_that_stay_go_on_the_same_and_the_places_of_others_are_empty(
    before: Panes, after: Panes, leave: set[int]
) -> None:
    windows, whole = windows_of(6, 56), windows_of(6, 56)
    for one in played(before):
        entered(windows, one)
        entered(whole, one)
    gone = {str(i) for i in leave}
    stay = np.array([i for name, i in windows.index.items() if name not in gone], dtype=np.int64)
    windows.keep(stay)
    assert {*windows.index} == {*whole.index} - gone
    new, since = set[str](), windows_of(6, 56)
    for one in played(after, sum(gap for gap, _ in before) * PANE):
        (_, totals), (_, expected), (_, fresh) = (entered(of, one) for of in (windows, whole, since))
        for i, name in enumerate(one.names):
            other = fresh if name in gone else expected
            assert all(np.array_equal(totals[span][i], other[span][i]) for span in totals), name
        new |= {*one.names}
    assert {*windows.index} == ({*whole.index} - gone) | new
    assert pack(SlicingWindows.from_state(unpack(pack(windows.to_state()))).to_state()) == pack(windows.to_state())


def test_where_there_is_no_room_the_names_of_others_change_nothing() -> None:
    windows = windows_of(4)
    entered(windows, pane(0, {0: 5, 1: 6}))
    assert windows.has_room(["0", "1"], "m", 3)
    assert windows.has_room(["0", OTHER], "m", 3)
    assert not windows.has_room(["0", "2"], "m", 3), "it would get a place"
    assert windows.has_room(["0", "2"], "m", 2), "there is none left"
    assert not windows.has_room(["0"], "n", 2), "another model"


def test_a_ring_grows_by_more_than_one_slice_at_a_time() -> None:
    ring = Ring.empty(PANE, 4)
    for m in range(1, 200):
        ring.grow(m)
        assert m <= ring.counts.shape[1] <= max(2 * m, 16)


@pytest.mark.parametrize("count", [2**16, 2**32 + 5, 2**40])
def test_counts_of_any_size_stay_what_they_are(count: int) -> None:
    """They are kept in as few bytes as all of a ring need."""
    ring, rows = Ring.empty(PANE, 4), np.ones((1, 2, WIDTH), dtype=np.int64)
    ring.grow(2)
    numbers = np.arange(2)
    (before,) = ring.add(np.array([0]), numbers, rows, [2 * PANE])
    rows[0, 1, COLUMNS["p_le"].start], rows[0, 0, COLUMNS["log_prob_sum"].start] = count, -count
    (after,) = ring.add(np.array([PANE]), numbers, rows, [2 * PANE])
    assert np.array_equal(after, before + rows)
    assert np.array_equal(ring.rows(slice(0, 2), slice(0, 2)).sum(axis=0), after[0])


@pytest.mark.parametrize(
    ("ms", "name"), [(604_800_000, "7d"), (21_600_000, "6h"), (90_000, "90s"), (60_000, "1m"), (1_500, "1500ms")]
)
def test_span_names(ms: int, name: str) -> None:
    assert span_name(ms) == name
