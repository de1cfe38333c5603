"""WATCH stays bounded, and takes in nothing that is not its own."""

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
from stream_app.stages.watch.stage import Watcher

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
        topic="e",
        partition=0,
        pane_start_ms=pane * HOUR,
        pane_end_ms=(pane + 1) * HOUR,
        offset_start=0,
        offset_end=1,
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
    return PaneClosed(
        stream="s", topic="e", partition=0, pane_start_ms=end - HOUR, pane_end_ms=end, offset_end=1, counters={}
    )


def test_slices_past_the_cap_share_one_and_are_still_counted() -> None:
    watcher = Watcher(CONFIG, 0, 1)
    watcher.block(block(["d", "b"]))
    watcher.marker(close(0), REFERENCES)
    watcher.block(block(["f", "a", "e", "d", "c"], pane=1))
    out = watcher.marker(close(1), REFERENCES)
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
    watcher = Watcher(CONFIG, 0, 1)
    with pytest.raises(DecodeError):
        watcher.block(bad)
    assert not watcher.needs()
