"""WATCH, message by message: bounded, and taking in nothing that is not its own."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import DecodeError
from schemas.pane_layout import PIT_BINS, PaneLayout
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config, Duration, EventConfig, TopicsConfig, WindowsConfig
from stream_app.stages.score.panes import OTHER
from stream_app.stages.watch.detectors import Reference
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState

HOUR = 3_600_000
CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"], slicings=[["k"]]),
    windows=WindowsConfig(pane=Duration(HOUR), spans=[Duration(2 * HOUR), Duration(4 * HOUR)], max_slices=3),
)
LAYOUT = PaneLayout(1)
REFERENCES = {"m": Reference(np.ones((1, PIT_BINS), np.int64), np.zeros(1), 0.0, 1.0)}


def block(names: list[str], pane: int = 0, **changes: Any) -> PaneBlock:
    rows = np.ones((len(names), LAYOUT.width), dtype=np.int64)
    made = PaneBlock(
        stream="s",
        partition=0,
        pane_start_ms=pane * HOUR,
        pane_end_ms=(pane + 1) * HOUR,
        model_id="m",
        slicing="k",
        index=0,
        slices=names,
        columns=LAYOUT.encode(rows),
        top=[[] for _ in names],
    )
    return msgspec.structs.replace(made, **changes)


def close(pane: int) -> PaneClosed:
    end = (pane + 1) * HOUR
    return PaneClosed(stream="s", partition=0, pane_start_ms=end - HOUR, pane_end_ms=end, offset_end=1)


def test_slices_past_the_cap_share_one_and_are_still_counted() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    for partial in (block(["d", "b"]), close(0), block(["f", "a", "e", "d", "c"], pane=1), close(1)):
        out = stage.step(state, 0, partial, REFERENCES)
    seen = {dict(p.tags)["slice"]: dict(p.fields)["seen"] for p in out.points if dict(p.tags).get("span") == "pane"}
    assert seen == {"d": 1, "a": 1, OTHER: 3}, "d is known, a is the first new one, the others share"


@pytest.mark.parametrize(
    "bad",
    [
        block(["a"], stream="another"),
        block(["a"], slicing="another"),
        block(["a", "b"], columns=block(["a"]).columns),
        block(["a"], columns={}),
    ],
)
def test_what_does_not_belong_here_is_refused_on_arrival(bad: PaneBlock) -> None:
    state = WatchState.empty(CONFIG, 1)
    with pytest.raises(DecodeError):
        WatchStage(CONFIG).step(state, 0, bad, REFERENCES)
    assert not state.pending_models()


def test_a_block_for_a_pane_that_is_final_is_counted_and_not_taken() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    for partial in (block(["a"]), close(0), block(["a"])):
        stage.step(state, 0, partial, REFERENCES)
    assert (state.late_blocks, state.pending, state.final_ms) == (1, {}, HOUR)


def test_spans_passed_over_are_joined() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 2)
    for start, end in ((5, 7), (0, 2), (2, 3), (6, 9)):
        stage.pass_over(state, 1, start * HOUR, end * HOUR)
    assert state.passed_over == {1: [(0, 3 * HOUR), (5 * HOUR, 9 * HOUR)]}
    assert state.reached_ms(1) == 3 * HOUR
