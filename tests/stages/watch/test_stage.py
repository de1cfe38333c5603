"""WATCH, message by message: bounded, and taking in nothing that is not its own."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import Partial, encode_partials
from schemas.intake import Refusal, take_in
from schemas.pane_layout import PaneLayout
from schemas.records import DeadLetter, PaneBlock, PaneClosed
from stream_app.config import Config, Duration, EventConfig, TopicsConfig, WindowsConfig
from stream_app.stages.batches import PartialMessage
from stream_app.stages.detection.detectors.simulated import World
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import words_of

HOUR = 3_600_000
CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x", "still", "gone"], slicings=[["k"]]),
    windows=WindowsConfig(pane=Duration(HOUR), spans=[Duration(2 * HOUR), Duration(4 * HOUR)], max_slices=3),
)
LAYOUT = PaneLayout(3)
REFERENCES = {"m": [World(d=1, k=0, slices=1, panes=24).fitted[1]]}
KNOWN = Known(REFERENCES)


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
    )
    return msgspec.structs.replace(made, **changes)


def close(pane: int) -> PaneClosed:
    end = (pane + 1) * HOUR
    return PaneClosed(stream="s", partition=0, pane_start_ms=end - HOUR, pane_end_ms=end, offset_end=1)


def sent(*partials: Partial, first: int = 0) -> list[PartialMessage]:
    encoded = encode_partials(partials)
    return [PartialMessage(offset, m.value, m.headers) for offset, m in enumerate(encoded, first)]


def test_slices_past_the_cap_share_one_and_are_still_counted() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    stage.step(state, 0, sent(block(["d", "b"]), close(0)), KNOWN)
    out = stage.step(state, 0, sent(block(["f", "a", "e", "d", "c"], pane=1), close(1), first=2), KNOWN)
    seen = {dict(p.tags)["slice"]: dict(p.fields)["seen"] for p in out.points if dict(p.tags).get("span") == "pane"}
    assert seen == {"d": 1, "a": 1}, "d is known, a is the first new one"
    ((one,), (closed,)) = ([of.other for of in words_of(out.messages)[1]], words_of(out.messages)[1])
    (other,) = one
    assert (other.slicing, other.model_id) == ("k", "m")
    assert LAYOUT.get(np.frombuffer(other.row, "<i8"), "seen") == 3, "the others share what is no slice"
    assert (closed.events, closed.slices) == (5, {"k": 3})


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
    out = WatchStage(CONFIG).step(state, 0, sent(block(["a"]), bad, first=7), KNOWN)
    ((offset, refusal),) = out.refused
    assert offset == 8
    assert any(part in refusal.detail for part in ("stream 'another'", "slicing 'another'", "column 'seen'"))
    assert (state.next_offset, state.taken, state.refused, [*state.pending[0]]) == (9, 1, 1, [(0, 0)])


def test_bytes_that_are_no_partial_are_refused_and_done_with() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    bad = [
        PartialMessage(0, b"x", []),
        PartialMessage(1, None, [("kind", b"block")]),
        PartialMessage(2, b"", [("kind", b"?")]),
        PartialMessage(3, b"", [("kind", None)]),
    ]
    out = stage.step(state, 0, [*bad, *sent(block(["a"]), close(0), first=4)], KNOWN)
    assert [(offset, why.reason) for offset, why in out.refused] == [
        (0, "not_ours"),
        (1, "tombstone"),
        (2, "not_ours"),
        (3, "not_ours"),
    ]
    assert (state.next_offset, state.final_ms) == (6, HOUR)
    assert (state.taken, state.refused) == (2, 4)
    assert not stage.step(state, 0, bad, KNOWN).refused
    assert state.refused == 4, "what is done with is not counted again"


def test_what_is_refused_is_in_the_dead_letters_with_its_reason() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    bad = PartialMessage(7, b"\xc1junk", [("kind", b"block"), ("traceparent", None)])
    out = stage.step(state, 3, [bad, *sent(block(["a"], slicing="another"), block(["a"]), first=8)], KNOWN)
    letters = [take_in("dead_letters", "s", m.value, m.headers) for m in out.messages if m.role == "dead_letters"]
    assert all(isinstance(letter, DeadLetter) for letter in letters)
    assert [(letter.topic, letter.partition, letter.offset, letter.reason) for letter in letters] == [
        (CONFIG.topics.partials, 3, 7, "undecodable"),
        (CONFIG.topics.partials, 3, 8, "not_accepted"),
    ]
    assert letters[0].body == b"\xc1junk"
    assert "slicing 'another'" in letters[1].detail
    assert [*state.pending[0]] == [(0, 0)], "the good message behind it is taken"


def test_what_was_taken_and_refused_is_remembered() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    stage.step(state, 0, [PartialMessage(0, b"x", []), *sent(block(["a"]), close(0), first=1)], KNOWN)
    restored = WatchState.from_state(CONFIG, unpack(pack(state.to_state())))
    assert (restored.taken, restored.refused, restored.next_offset) == (2, 1, 3)


def test_a_block_without_slices_is_refused() -> None:
    out = WatchStage(CONFIG).step(WatchState.empty(CONFIG, 1), 0, sent(block([]), close(0)), KNOWN)
    assert out.refused == [(0, Refusal("not_accepted", "", "a block has no slices"))]


def test_a_pane_waits_for_its_model_and_those_after_it_too() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    blocks = [block(["a"], pane, model_id="new" if pane == 1 else "m") for pane in range(3)]
    partials = [part for pane in range(3) for part in (blocks[pane], close(pane))]
    known = Known(REFERENCES, {"new"})
    out = stage.step(state, 0, sent(*partials), known)
    assert {point.time_ms for point in out.points} == {HOUR}
    assert (state.final_ms, state.needed_models(), state.next_offset) == (HOUR, {"m", "new"}, 4)
    assert stage.step(state, 0, sent(*partials), known).points == []
    later = stage.step(state, 0, sent(*partials), Known({**REFERENCES, "new": REFERENCES["m"]}))
    assert {point.time_ms for point in later.points} == {2 * HOUR, 3 * HOUR}
    assert (state.final_ms, state.next_offset) == (3 * HOUR, 6)


def test_a_block_for_a_pane_that_is_final_is_counted_and_not_taken() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    stage.step(state, 0, sent(block(["a"]), close(0), block(["a"])), KNOWN)
    assert (state.late_blocks, state.pending, state.final_ms) == (1, {}, HOUR)


def test_spans_passed_over_are_joined() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 2)
    for start, end in ((5, 7), (0, 2), (2, 3), (6, 9)):
        stage.pass_over(state, 1, start * HOUR, end * HOUR)
    assert state.passed_over == {1: [(0, 3 * HOUR), (5 * HOUR, 9 * HOUR)]}
    assert state.reached_ms(1) == 3 * HOUR
