"""One SCORE step: what it costs to cross files, what closes panes, and what is counted."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib.density import Density
from flowlib.reference.values import VALUE_MOST, VALUE_UNIT
from schemas.codecs import decode_event, decode_partial
from schemas.records import EventAnomaly, PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.layout import layout_of
from stream_app.stages.pipeline import Pipeline
from tests.stages.streams import PANE, bodies, channels, config, event, pipeline, raw, score_all

OF_BODIES = {
    "decoding.py",
    "json_bodies.py",
    "body_types.py",
    "coercion.py",
    "event_time.py",
    "paths.py",
    "framing.py",
    "texts.py",
    "names.py",
}
"""What decoding is made of: a body is read by itself, whatever the number of files."""


def file_of(code: CodeType) -> str:
    """The file of a function; those of decoding are one."""
    return "decoding.py" if Path(code.co_filename).name in OF_BODIES else code.co_filename


def file_switches(made: Pipeline, n: int) -> int:
    """Calls of one batch of n rows that lead from one file of the project into another."""
    values = bodies(3, n, n * 10, drift_from=1.0)
    count, stack = 0, [""]

    def profile(frame: FrameType, happening: str, _: Any) -> None:
        nonlocal count
        if happening == "call":
            path, name = frame.f_code.co_filename, file_of(frame.f_code)
            inside = "/stream_app/" in path or "/flowlib/" in path or "/schemas/" in path
            count += inside and stack[-1] not in ("", name)
            stack.append(name if inside else stack[-1])
        elif happening == "return" and len(stack) > 1:
            stack.pop()

    sys.setprofile(profile)
    try:
        made.score(raw(0, values))
    finally:
        sys.setprofile(None)
    return count


def test_no_row_crosses_from_file_to_file(model: Density) -> None:
    """Twice the rows in as many panes, twice as many flagged events, and hardly more switches."""
    cfg = config(windows={"pane": "100s", "spans": ["200s"]}, event_rule={"alpha": 1e-6})
    few, many = (file_switches(pipeline(cfg, [model]), n) for n in (2_000, 4_000))
    assert many <= few + 10
    assert many <= 300


def test_a_pane_sums_values_as_its_model_centres_and_scales_them(model: Density) -> None:
    made, reference = pipeline(config(), [model]), model.references[0]
    values = [None, 0.5, 7.25, -1e30]
    score_all(made, 0, [event(10 * i, i, x=x, y=4.0 + i) for i, x in enumerate(values)], [2])
    pane = made.score_states[0].panes[0][1]
    counts = layout_of(made.config).get(pane.rows[pane.slices["all"]], "value")[:2]
    sums = reference.value_sums(np.array([*counts, 0]), np.array([3, 4, 0]))
    far = 0.5 + 7.25 + reference.value_centre[0] - VALUE_MOST * reference.value_scale[0]
    assert sums[:2] == pytest.approx([far, 22.0], abs=4 * reference.value_scale[:2].max() / VALUE_UNIT)


STRANGE = {"x": 50.0, "y": -50.0, "v": 9.0}


def test_the_strangest_events_go_with_the_block_of_their_slice_and_are_no_messages(model: Density) -> None:
    values = [event(i, i, station="north" if i % 2 else "west", **(STRANGE if i % 10 == 3 else {})) for i in range(90)]
    values += [event(5_000, 1_000)]
    whole, parts = pipeline(config(), [model]), pipeline(config(), [model])
    sent, again = score_all(whole, 0, values, [91]), score_all(parts, 0, values, [7, 1])
    assert channels(sent.messages) == channels(again.messages)
    found = [decode_partial(one.value, dict(one.headers)) for one in sent.messages if one.role == "partials"]
    blocks = {(*one.slices, one.slicing): one.top for one in found if isinstance(one, PaneBlock)}
    odd = [(event.offset, event.slice) for slices, top in blocks.items() for event in top]
    assert sorted(odd) == [(i, "north") for i in range(3, 90, 10)]
    assert all(not top for slices, top in blocks.items() if slices[-1] == "all")
    (top,) = (top for top in blocks.values() if top)
    assert {blame.feature for event in top for blame in event.blame} <= {"x", "y", "v", "c"}
    points = [dict(point.fields)["offset"] for point in sent.points if point.measurement == "anomalies"]
    assert sorted(points) == list(range(3, 90, 10))
    assert not any(
        dict(one.headers)["ce_type"].endswith(b"anomaly.v1") for one in sent.messages if one.role == "signals"
    )


def test_events_are_messages_of_their_own_where_that_is_wanted(model: Density) -> None:
    made = pipeline(config(event_rule={"publish": True}), [model])
    out = score_all(made, 0, [event(i, i, **(STRANGE if i == 5 else {})) for i in range(9)], [4])
    signals = [decode_event(one.value, one.headers) for one in out.messages if one.role == "signals"]
    assert [record.offset for record in signals if isinstance(record, EventAnomaly)] == [5]


def bounded(most: int, lateness: str = "60s") -> Config:
    return config(windows={"lateness": lateness, "max_open_panes": most})


def test_the_oldest_of_too_many_open_panes_closes_and_is_counted(model: Density) -> None:
    made = pipeline(bounded(3), [model])
    out = score_all(made, 0, [event(1_000 * pane, pane) for pane in range(6)], [100])
    state = made.score_states[0]
    assert (sorted(state.panes), state.closed_early, state.timing.closed_ms) == ([3_000, 4_000, 5_000], 3, 3_000)
    assert dict([*out.points][-1].fields)["closed_early"] == 3
    partials = [decode_partial(m.value, dict(m.headers)) for m in out.messages if m.role == "partials"]
    assert sorted({p.pane_start_ms for p in partials if isinstance(p, PaneBlock)}) == [0, 1_000, 2_000]
    assert max(p.pane_end_ms for p in partials if isinstance(p, PaneClosed)) == 3_000


def test_a_row_older_than_every_open_pane_is_late_where_there_is_no_room(model: Density) -> None:
    made = pipeline(bounded(2), [model])
    score_all(made, 0, [event(5_000, 1), event(9_000, 2), event(1_000, 3), event(5_100, 4)], [100])
    state = made.score_states[0]
    assert state.counters == {"received": 4, "windowed": 3, "late": 1, "rejected": 0, "duplicate": 0, "held": 0}
    assert (state.closed_early, state.timing.open_ms) == (0, [5_000, 9_000])


def test_a_lower_bound_after_a_restart_closes_what_is_too_much(model: Density) -> None:
    first, second = pipeline(bounded(40), [model]), pipeline(bounded(3), [model])
    score_all(first, 0, [event(1_000 * pane, pane) for pane in range(40)], [100])
    second.open_score(0, first.snapshot_score(0))
    second.score(raw(0, [event(40_000, 99)], 40))
    state = second.score_states[0]
    assert (state.timing.open_ms, sorted(state.panes)) == ([38_000, 39_000, 40_000], [38_000, 39_000, 40_000])
    assert state.closed_early == 38


def test_panes_that_lateness_closes_are_not_closed_early(model: Density) -> None:
    made = pipeline(bounded(4, lateness="500ms"), [model])
    score_all(made, 0, [event(1_000 * pane, pane) for pane in range(9)], [4])
    assert made.score_states[0].closed_early == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [[1], [7], [1, 30, 2]])
def test_the_bound_holds_at_every_row_and_does_not_depend_on_batches(
    model: Density, seed: int, sizes: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    times = np.maximum(np.arange(120) * 300 + rng.normal(0, 6_000, 120), 0).astype(int).tolist()
    values = [event(t, i) for i, t in enumerate(times)]
    whole, parts = pipeline(bounded(3), [model]), pipeline(bounded(3), [model])
    expected = score_all(whole, 0, values, [1_000])
    assert channels(score_all(parts, 0, values, sizes).messages) == channels(expected.messages)
    assert parts.snapshot_score(0) == whole.snapshot_score(0)
    assert whole.score_states[0].closed_early > 0
    step = pipeline(bounded(3), [model])
    for i, value in enumerate(values):
        step.score(raw(0, [value], i))
        state = step.score_states[0]
        assert len(state.timing.open_ms) <= 3
        assert len(state.panes) <= 3 + 1  # late rows are counted in the pane that follows what is closed


def test_late_and_unscorable_rows_are_counted_in_their_slices(model: Density) -> None:
    made = pipeline(config(), [model])
    rows = [event(5_000, 1), event(100, 2, station="south"), event(5_100, 3, x=1e300), event(20_000, 4)]
    out = score_all(made, 0, rows, [100])
    state = made.score_states[0]
    assert state.counters == {"received": 4, "windowed": 2, "late": 1, "rejected": 1, "duplicate": 0, "held": 0}
    partials = [decode_partial(m.value, dict(m.headers)) for m in out.messages if m.role == "partials"]
    counted: dict[str, dict[str, int]] = {"late": {}, "unscorable": {}}
    for block in partials:
        if isinstance(block, PaneBlock) and block.slicing == "station":
            for column, names in counted.items():
                numbers = np.frombuffer(block.columns[column], "<i8").tolist()
                names |= {name: n for name, n in zip(block.slices, numbers, strict=True) if n}
    assert counted == {"late": {"south": 1}, "unscorable": {"north": 1}}


def test_markers_carry_where_the_pane_ends_in_the_log(model: Density) -> None:
    made = pipeline(config(), [model])
    out = score_all(made, 0, [event(100, 1), event(900, 2), event(1_700, 3), event(9_000, 4)], [2])
    partials = [decode_partial(m.value, dict(m.headers)) for m in out.messages if m.role == "partials"]
    ends = {(p.pane_end_ms, p.offset_end) for p in partials if isinstance(p, PaneClosed)}
    assert ends == {(PANE, 2), (2 * PANE, 3), (8 * PANE, 3)}
    assert all("counters" not in msgspec.structs.asdict(p) for p in partials)
