"""Event time: lateness, far future and duplicates do not depend on how rows are cut into batches."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Duration, WindowsConfig
from stream_app.stages.batches import EventBatch
from stream_app.stages.score.screening import FUTURE_RUN, Timing, screen

WINDOWS = WindowsConfig(pane=Duration(1_000), lateness=Duration(500), max_future=Duration(20_000))


def events(times: list[int], ids: list[str] | None = None) -> EventBatch:
    n = len(times)
    index = np.arange(n, dtype=np.int64)
    return EventBatch(
        "t",
        0,
        index,
        index,
        np.array(times, dtype=np.int64),
        np.zeros((n, 1)),
        np.empty((n, 0), object),
        np.full((n, 1), "s", object),
        ids,
    )


def judge(times: list[int], cuts: list[int], ids: list[str] | None = None) -> list[tuple[bool, bool, bool, int]]:
    state, out = Timing(), []
    edges = sorted({0, len(times), *[c for c in cuts if c <= len(times)]})
    for a, b in itertools.pairwise(edges):
        s = screen(state, WINDOWS, events(times[a:b], None if ids is None else ids[a:b]), None)
        out += list(
            zip(s.future.tolist(), s.duplicate.tolist(), s.late.tolist(), s.closed_after_ms.tolist(), strict=True)
        )
    return out


TIMES = st.lists(st.one_of(st.integers(0, 8_000), st.integers(0, 60_000), st.just(10**12)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(TIMES, st.lists(st.integers(0, 60), max_size=6), st.lists(st.sampled_from("abcdef"), min_size=60, max_size=60))
def test_batch_boundaries_do_not_matter(times: list[int], cuts: list[int], ids: list[str]) -> None:
    whole = judge(times, [], ids[: len(times)])
    assert judge(times, cuts, ids[: len(times)]) == whole
    assert judge(times, list(range(60)), ids[: len(times)]) == whole
    assert all(sum(row[:3]) <= 1 for row in whole)


def test_late_means_the_pane_was_closed_by_rows_before() -> None:
    assert [row[2] for row in judge([100, 1_400, 200, 1_600, 300, 1_700], [])] == [False] * 4 + [True, False]


def test_far_future_cannot_move_the_watermark() -> None:
    rows = judge([1_000, 10**12, 1_100], [])
    assert [row[0] for row in rows] == [False, True, False]
    assert rows[-1][3] == rows[0][3]


def test_a_real_jump_is_believed_in_the_end() -> None:
    rows = judge([1_000] + [10**12] * (FUTURE_RUN + 5), [7, 30])
    assert [row[0] for row in rows] == [False] + [True] * (FUTURE_RUN - 1) + [False] * 6


def test_first_event_is_held_against_the_broker_stamp() -> None:
    state = Timing()
    s = screen(state, WINDOWS, events([10**12, 2_000]), np.array([2_000, 2_000], dtype=np.int64))
    assert s.future.tolist() == [True, False]


def test_duplicates_within_open_panes() -> None:
    rows = judge([100, 150, 200, 5_000, 5_100], [], ["a", "a", "b", "c", "a"])
    assert [row[1] for row in rows] == [False, True, False, False, False]
