"""What a run leaves in the store is bounded, whatever the length of a file."""

from __future__ import annotations

import numpy as np

from stream_app.offline.store import ANOMALIES, RECENT_PANES, Thinned
from stream_app.stages.outputs import Block, Point, Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import PaneWindows
from stream_app.stages.summary import WIDTH

PANE_MS = 3_600_000


def block(end_ms: int) -> WindowBlock:
    rows = np.zeros((1, 1, WIDTH), dtype=np.int64)
    (made,) = WindowBlock.of("s", PaneWindows("all", [end_ms], [""], ["m"], ["pane"], rows))
    return made


def point(measurement: str, time_ms: int) -> Point:
    return Point(measurement, (("stream", "s"),), time_ms, (("n", 1),))


def stored(panes: int, measurement: str = "") -> list[Point | Block]:
    """What is left of as many panes with a block each, or a point."""
    thinned, out = Thinned(PANE_MS), list[Point | Block]()
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
    assert len(ends) < RECENT_PANES * (2 + np.log2(40_000 / RECENT_PANES))
    assert len(stored(20_000)) > len(ends) - 2 * RECENT_PANES
    steps = np.diff(ends[:-RECENT_PANES])
    assert (np.diff(steps) >= 0).all(), "steps only grow"


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
