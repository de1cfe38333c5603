"""What a run leaves in the store is bounded, whatever the length of a file."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.offline.store import ANOMALIES, RECENT_MS, RECENT_PANES, ROWS_MAX, Thinned
from stream_app.stages.outputs import Block, Point, Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import PaneWindows
from stream_app.stages.summary import WIDTH

PANE_MS = 3_600_000


Part = Point | Block


def block(end_ms: int, slices: int = 1) -> WindowBlock:
    """The windows of a pane."""
    rows = np.zeros((1, slices, WIDTH), dtype=np.int64)
    names = [str(number) for number in range(slices)]
    (made,) = WindowBlock.of("s", PaneWindows("all", [end_ms] * slices, names, ["m"] * slices, ["pane"], rows))
    return made


def point(measurement: str, time_ms: int) -> Point:
    return Point(measurement, (("stream", "s"),), time_ms, (("n", 1),))


def stored(panes: int, measurement: str = "") -> list[Part]:
    """What is left of as many panes with a block each, or a point."""
    thinned, out = Thinned(PANE_MS), list[Part]()
    for number in range(1, panes + 1):
        part = point(measurement, number * PANE_MS) if measurement else block(number * PANE_MS)
        out += thinned.take(Points([part])).parts
    return out + thinned.rest().parts


def test_a_short_run_keeps_every_pane() -> None:
    assert [part.points()[0].time_ms // PANE_MS for part in stored(100) if isinstance(part, WindowBlock)] == [
        *range(1, 101)
    ]


def test_a_long_run_keeps_the_newest_panes_and_of_each_doubling_as_many() -> None:
    ends = [part.first_end_ms // PANE_MS for part in stored(40_000) if isinstance(part, WindowBlock)]
    assert ends == sorted({*ends})
    assert ends[-RECENT_PANES:] == [*range(40_001 - RECENT_PANES, 40_001)]
    assert len(ends) < RECENT_MS // PANE_MS + RECENT_PANES * (1 + np.log2(40_000 / RECENT_PANES))
    assert len(stored(20_000)) > len(ends) - 2 * RECENT_PANES
    steps = np.diff(ends[: -(RECENT_MS // PANE_MS)])
    assert (np.diff(steps) >= 0).all(), "steps only grow"


@pytest.mark.parametrize(("slices", "whole"), [(1, True), (20, False)])
def test_a_fortnight_of_short_panes_is_whole_as_long_as_it_is_not_too_large(slices: int, whole: bool) -> None:
    """For the weekly report: of panes of five minutes 250 are less than a day."""
    pane_ms, n = 300_000, 6_000
    thinned, out = Thinned(pane_ms), list[Part]()
    for number in range(1, n + 1):
        out += thinned.take(Points([block(number * pane_ms, slices)])).parts
    assert sum(len(parts) for parts in thinned._waiting.values()) <= max(ROWS_MAX // slices, RECENT_PANES)
    ends = {part.first_end_ms for part in out + thinned.rest().parts if isinstance(part, WindowBlock)}
    last = {number * pane_ms for number in range(n - 14 * 288 + 1, n + 1)}
    assert (last <= ends) == whole
    assert len(ends) < 5_500


def test_counters_are_thinned_strange_events_beyond_some_and_nothing_else() -> None:
    assert len(stored(20_000, "counters")) == len(stored(20_000))
    assert len(stored(20_000, "incidents")) == 20_000
    anomalies = stored(20_000, "anomalies")
    assert ANOMALIES < len(anomalies) < ANOMALIES + len(stored(20_000))


def test_what_comes_late_is_stored_where_its_pane_would_be() -> None:
    thinned = Thinned(PANE_MS)
    for number in range(1, 3 * RECENT_PANES):
        thinned.take(Points([block(number * PANE_MS)]))
    assert len(thinned.take(Points([block(4 * PANE_MS), block(5 * PANE_MS)]))) in (0, 1)
