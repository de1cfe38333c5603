"""A day's histogram stands at the day's end, whatever panes there were; another model begins one of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib.pit import PIT_BINS
from flowlib.table import DAY_MS
from stream_app.stages.outputs import Point
from stream_app.stages.score.histograms import DayHistograms
from stream_app.stages.score.panes import Closing, Pane
from tests.stages import streams

HOUR_MS = 3_600_000
CONFIG = streams.config(windows={"pane": "5h", "spans": ["5h"]})
D = len(CONFIG.event.numeric)


def taken(*panes: tuple[int, str, int]) -> list[Point]:
    """Points of the first feature, of panes that begin at an hour, with their model and events."""
    days, made = DayHistograms(), list[Point]()
    for hour, model, n in panes:
        pit = np.full((D, PIT_BINS), n, dtype=np.int64)
        pane: Any = Pane(model, pit, {}, np.zeros((0, 0), dtype=np.int64))
        closing: Any = Closing.__new__(Closing)
        object.__setattr__(closing, "panes", [(hour * HOUR_MS, [pane])])
        made += days.take(CONFIG, 0, [closing])
        days = DayHistograms.from_state(days.to_state())
    return [point for point in made if dict(point.tags)["feature"] == CONFIG.event.numeric[0]]


def at_and_sums(*panes: tuple[int, str, int]) -> list[tuple[float, int]]:
    """Day at which each point stands, and what a bin of it counts."""
    return [(point.time_ms / DAY_MS, int(dict(point.fields)["h00"])) for point in taken(*panes)]


def test_a_day_stands_at_its_end_whether_its_last_panes_are_missing_or_reach_beyond() -> None:
    late, early, long_after = (20, "m", 1), (30, "m", 2), (24 * 9, "m", 4)
    assert at_and_sums((0, "m", 8), late, early, long_after, (24 * 10, "m", 1)) == [(1.0, 9), (2.0, 2), (10.0, 4)]


def test_a_model_that_ends_within_a_day_leaves_its_part_where_it_ended() -> None:
    assert at_and_sums((0, "m", 1), (5, "m", 2), (10, "n", 4), (24, "n", 1)) == [(10 / 24, 3), (1.0, 4)]


def test_a_day_without_a_value_leaves_no_point() -> None:
    assert at_and_sums((0, "m", 0), (24, "m", 1), (48, "m", 1)) == [(2.0, 1)]
