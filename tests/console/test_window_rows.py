"""Windows are found by day and time: the answers are those of one who reads them all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS
from schemas.bounds import MILLIS_MAX
from stream_app.console.window_rows import Found, WindowRows
from stream_app.sinks.window_table import SCHEMA, Windows, WindowTable, object_of, series_of

HOUR_MS = DAY_MS // 24
STREAM = "stream"
Stored = dict[tuple[str, int], str]
"""Slice and time to fields."""

SPARSE = st.integers(0, 400).map(lambda hour: hour * HOUR_MS)
ODD = st.sampled_from([-1, -DAY_MS, 0, DAY_MS - 1, MILLIS_MAX, MILLIS_MAX + 1, 2**63 - 1])
PLACES = st.lists(st.tuples(st.sampled_from("abc"), SPARSE | ODD), max_size=60)


@pytest.fixture
def link() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as link:
        link.executescript(SCHEMA)
        yield link


def shared(span: str = "7d", stream: str = STREAM) -> tuple[tuple[str, str], ...]:
    return (("slicing", "s"), ("span", span), ("stream", stream))


def write(link: sqlite3.Connection, places: list[tuple[str, int]], span: str = "7d", stream: str = STREAM) -> Stored:
    """One window each; all of them that are stored then."""
    fields = {place: f'{{"n":{n}}}' for n, place in enumerate(places)}
    slices, times_ms = [s for s, _ in fields], [t for _, t in fields]
    WindowTable(link).write([Windows(shared(span, stream), slices, times_ms, list(fields.values()))])
    return fields


def thinned(stored: Stored, slice_: str, from_ms: int, to_ms: int, most: int) -> list[tuple[int, str]]:
    """As the page has always thinned a curve out."""
    times = sorted(t for s, t in stored if s == slice_ and from_ms <= t <= to_ms)
    kept, step = list[int](), max(1, (times[-1] - times[0]) // (most - 1)) if times else 1
    while times and len(kept) < most:
        kept.append(times[-1])
        times = [t for t in times if t <= kept[-1] - step]
    return [(t, stored[slice_, t]) for t in kept]


def bare(found: Iterator[Found]) -> list[tuple[int, str]]:
    return [(time_ms, fields) for time_ms, _, fields in found]


@settings(max_examples=150, deadline=None)
@given(PLACES, st.lists(st.tuples(st.sampled_from("abcd"), SPARSE, SPARSE, st.integers(2, 30)), min_size=1, max_size=5))
def test_a_curve_is_what_reading_all_of_it_gives(
    places: list[tuple[str, int]], asked: list[tuple[str, int, int, int]]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as link:
        link.executescript(SCHEMA)
        stored, rows = write(link, places), WindowRows(link)
        write(link, [("b", t) for _, t in places], "pane")
        for slice_, from_ms, to_ms, most in [*asked, ("a", 0, MILLIS_MAX, 5)]:
            series = series_of((("slice", slice_), *shared()))
            expected = thinned(stored, slice_, from_ms, to_ms, most)
            assert bare(rows.backwards(series, from_ms, to_ms, most)) == expected
            newest = rows.newest(series, from_ms, to_ms)
            assert bare(iter([newest] if newest else [])) == expected[:1]
        assert rows.timeless() == sum(not 0 <= t <= MILLIS_MAX for _, t in (*stored, *{("b", t) for _, t in places}))


@settings(max_examples=100, deadline=None)
@given(PLACES, st.sets(SPARSE, max_size=20))
def test_the_newest_of_each_is_what_reading_all_of_them_gives(places: list[tuple[str, int]], gone: set[int]) -> None:
    """Rows that somebody has deleted leave days without rows behind."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as link:
        link.executescript(SCHEMA)
        stored = write(link, places)
        write(link, places, "pane")
        write(link, places, "7d", "another stream")
        link.executemany("DELETE FROM windows WHERE time_ms = ?", [(t,) for t in gone])
        left = {(s, t): fields for (s, t), fields in stored.items() if 0 <= t <= MILLIS_MAX and t not in gone}
        newest = {s: max(t for of, t in left if of == s) for s, _ in left}
        expected = {(t, object_of((("slice", s), *shared())), left[s, t]) for s, t in newest.items()}
        found = list(WindowRows(link).lasts(STREAM))
        assert (set(found), len(found)) == (expected, len(expected))


def steps(link: sqlite3.Connection) -> list[int]:
    """Counts instructions of SQLite from now on, in thousands."""
    count = [0]

    def one_more() -> None:
        count[0] += 1

    link.set_progress_handler(one_more, 1_000)
    return count


def test_no_question_reads_what_it_does_not_show(link: sqlite3.Connection) -> None:
    """Beside many series, one that was there every 37th hour, and one that ended long ago."""
    panes, others = 24 * 20, [str(n) for n in range(100)]
    places = [(name, k * HOUR_MS) for k in range(panes) for name in others]
    places += [("rare", k * HOUR_MS) for k in range(0, panes, 37)] + [("ended", HOUR_MS)]
    link.execute("BEGIN")
    write(link, places)
    link.execute("COMMIT")
    rows, count = WindowRows(link), steps(link)
    for slice_, most in (("rare", 13), ("ended", 1)):
        assert len(list(rows.backwards(series_of((("slice", slice_), *shared())), 0, MILLIS_MAX, 2_000))) == most
    assert rows.newest(series_of((("slice", "ended"), *shared())), 0, MILLIS_MAX)
    assert count[0] < 50
    assert len(list(rows.lasts(STREAM))) == 102
    assert count[0] < 50
