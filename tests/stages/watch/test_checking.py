"""A partial that is well-formed and cannot be: refused on arrival, and nothing waits for it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import Partial
from schemas.pane_layout import NO_HIGH, NO_LOW, TOGETHER
from schemas.records import PaneBlock, PaneClosed
from stream_app.stages.decisions import PassedOver
from stream_app.stages.watch.checking import COUNT_MAX, SUM_MAX, Known, PartialChecker
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.test_stage import CONFIG, HOUR, KNOWN, LAYOUT, REFERENCES, block, close, sent


def with_column(name: str, value: int) -> PaneBlock:
    """A block whose column holds a number."""
    rows = np.ones((1, LAYOUT.width), dtype=np.int64)
    rows[:, LAYOUT.columns[name]] = value
    return block(["a"], columns=LAYOUT.encode(rows))


def marker(**changes: Any) -> PaneClosed:
    return msgspec.structs.replace(close(0), **changes)


FAULTS: list[tuple[Partial, str]] = [
    (block(["a"], pane_start_ms=1, pane_end_ms=HOUR + 1), "no pane"),
    (block(["a"], pane_end_ms=2 * HOUR), "no pane"),
    (block(["a"], pane_end_ms=0), "no pane"),
    (marker(pane_end_ms=HOUR + 1), "no pane"),
    (marker(pane_start_ms=5, pane_end_ms=5 + HOUR), "no pane"),
    (marker(pane_end_ms=900 * HOUR), "no pane"),
    (block(["a"], columns=block(["a"]).columns | {"more": b""}), "column 'more' of a block is none of ours"),
    *((with_column(name, -1), f"column '{name}' of a block holds -1") for name in ("seen", "missing", "p_le")),
    *((with_column(name, COUNT_MAX), f"holds {COUNT_MAX}") for name in ("late", "scored", "unscorable")),
    *((with_column(name, SUM_MAX), f"holds {SUM_MAX}") for name in ("log_prob_sum", "base", "square", "product")),
    (with_column("log_prob_square_sum", -SUM_MAX), f"holds -{SUM_MAX}"),
    *((with_column(name, NO_LOW + 1), f"column '{name}' of a block holds {NO_LOW + 1}") for name in ("low", "high")),
    *((with_column(name, NO_HIGH - 1), f"column '{name}' of a block holds {NO_HIGH - 1}") for name in ("low", "high")),
    (block(["a", TOGETHER]), "which is the name of all of them"),
    (block(["a"], partition=99), "no decision names source partition 99"),
    (marker(partition=99), "no decision names source partition 99"),
    (block(["a"], model_id="forged"), "no decision names model 'forged'"),
]


@pytest.mark.parametrize(("bad", "why"), FAULTS, ids=[f"{n} {why}" for n, (_, why) in enumerate(FAULTS)])
def test_it_is_refused_and_the_pane_is_finalised_without_it(bad: Partial, why: str) -> None:
    state = WatchState.empty(CONFIG, 1)
    out = WatchStage(CONFIG).step(state, 0, sent(block(["a"], index=7), bad, close(0)), KNOWN)
    ((offset, refusal),) = out.refused
    assert (offset, refusal.reason) == (1, "not_accepted")
    assert why in refusal.detail
    assert (state.final_ms, state.next_offset, state.taken, state.refused) == (HOUR, 3, 2, 1)


def test_blocks_together_are_looked_at_as_one_by_one() -> None:
    """Sound ones of one slice and of several between those of every fault, and one whose columns are short."""
    short = msgspec.structs.replace(block(["a"]), columns=block(["a"]).columns | {"seen": b"1234567"})
    mixed = [of for bad, _ in FAULTS for of in (block(["a"]), bad, block(["a", "b", "c"]))] + [short, close(0)]
    checker = PartialChecker(CONFIG, LAYOUT)
    together = checker.faults(mixed)
    assert together == [checker.fault(of) for of in mixed]
    assert together[:3:2] == ["", ""]
    assert together[-2] == "column 'seen' of a block has 7 bytes, 8 are expected"


def test_extremes_that_may_be_are_taken() -> None:
    good = [with_column("seen", COUNT_MAX - 1), with_column("base", 1 - SUM_MAX), with_column("log_prob_sum", -1)]
    good += [with_column(name, code) for name in ("low", "high") for code in (NO_LOW, NO_HIGH)]
    numbered = [msgspec.structs.replace(one, index=i) for i, one in enumerate(good)]
    out = WatchStage(CONFIG).step(WatchState.empty(CONFIG, 1), 0, sent(*numbered), KNOWN)
    assert not out.refused


def test_what_names_an_unknown_source_or_model_waits_until_the_decisions_are_known() -> None:
    stage, state = WatchStage(CONFIG), WatchState.empty(CONFIG, 1)
    messages = sent(block(["a"]), block(["a"], partition=1), block(["a"], model_id="new", index=1), close(0))
    out = stage.step(state, 0, messages, Known(REFERENCES, informed=False))
    assert (out.unknown, out.refused, state.next_offset) == (True, [], 1)
    state.join(1)
    out = stage.step(state, 0, messages, Known(REFERENCES, informed=False))
    assert (out.unknown, out.refused, state.next_offset) == (True, [], 2)
    out = stage.step(state, 0, messages, Known(REFERENCES, {"new"}, informed=False))
    assert (out.unknown, out.refused, state.next_offset) == (False, [], 4)
    stage.follow(state, PassedOver(0, 1, 0, HOUR))
    assert (stage.step(state, 0, [], KNOWN).points, state.needed_models()) == ([], {"m", "new"}), "it waits for a model"


def test_a_partials_partition_that_came_later_is_not_used() -> None:
    state = WatchState.empty(CONFIG, 1)
    out = WatchStage(CONFIG).step(state, 4, sent(block(["a"]), close(0)), KNOWN)
    assert [refusal.detail for _, refusal in out.refused] == [
        "slices are spread over 4 partials partitions from 0 on"
    ] * 2
    assert (state.next_offset, state.pending, state.final_ms) == (2, {}, 0)
