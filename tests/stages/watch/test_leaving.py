"""Slices without events in the longest span give their place back, unless something is being found of them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from schemas.codecs import Partial
from stream_app.config import Config, Duration, RuleConfig
from stream_app.stages.detection.detectors.simulated import PANE_MS, Change, World
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import DRIFT, Watching, block, config_of, marker, promising

WORLD = World(d=2, k=0, slices=6, seed=5)
REFERENCES = {"m": WORLD.fitted[1]}
SPAN = 8


def config(**changes: object) -> Config:
    """Spans of eight panes; drift alone, so that silence keeps no slice."""
    windows = msgspec.structs.replace(WORLD.config.windows, spans=[Duration(SPAN * PANE_MS)], **changes)
    rules = {"drift": RuleConfig(detectors=DRIFT), "step": RuleConfig(detectors=["page_hinkley"])}
    return promising(msgspec.structs.replace(config_of(WORLD), windows=windows, rules=rules), 1_000.0)


def stream(
    count: int, there: dict[int, list[int]], seed: int = 1, change: dict[int, Change] | None = None
) -> list[Partial]:
    """Panes in each of which only some slices have events, those of the last pane named up to it."""
    out: list[Partial] = []
    here: list[int] = list(range(WORLD.slices))
    for number, rows in enumerate(WORLD.rows(WORLD.events(count, seed, change), count)):
        here = there.get(number, here)
        made = block(WORLD, number, keep(rows, here))
        out += [made, marker(number)] if made.slices else [marker(number)]
    return out


def keep(rows: Ints, here: list[int]) -> Ints:
    out = WORLD.layout.blank(len(rows))
    out[here] = rows[here]
    return out


def test_a_slice_that_has_been_idle_for_the_longest_span_leaves_and_comes_back_as_a_new_one() -> None:
    watch = Watching(config(), REFERENCES)
    watch.feed(stream(40, {10: [0, 2, 3, 5], 30: [0, 1, 2, 3, 4, 5]}))
    counts = [closed.slices["slice"] for closed in watch.closed]
    assert counts[:10] == [6] * 10
    first = counts.index(4)
    assert 10 + SPAN - 1 <= first <= 10 + SPAN + 1, "once the last of its panes is in no window"
    assert counts[first:30] == [4] * (30 - first)
    assert counts[30:] == [6] * 10, "it has come again"
    assert [*watch.state.windows["slice"].index] == ["s0000", "s0002", "s0003", "s0005", "s0001", "s0004"]


def test_the_others_go_on_the_same() -> None:
    """Slices that leave change nothing of those that stay: their evidence, windows and references are their own."""
    change = {3: Change(shift=1.0), 5: Change(dependence=0.6)}
    with_them, without = Watching(config(), REFERENCES), Watching(config(), REFERENCES)
    a = with_them.feed(stream(60, {10: [2, 3, 5], 40: [1, 2, 3, 4, 5]}, change=change))
    b = without.feed(stream(60, {0: [2, 3, 5]}, change=change))
    of = {"s0002", "s0003", "s0005"}
    said = [
        [
            (word.pane, word.rule, word.slice_, word.statistic, word.remaining)
            for word in watch.words
            if word.slice_ in of
        ]
        for watch in (with_them, without)
    ]
    assert said[0] == said[1]
    assert said[0]
    windows = [[repr(point) for point in out.points if dict(point.tags).get("slice") in of] for out in (a, b)]
    assert windows[0] == windows[1]


def test_what_is_followed_keeps_its_place() -> None:
    """Its incident is open: it ends by evidence, and not because nobody looks any more."""
    watch = Watching(config(), REFERENCES)
    watch.feed(stream(50, {10: [0, 2, 3]}, change={1: Change(shift=3.0)}))
    assert {slice_ for _, state, slice_, _ in watch.told() if state == "found"} == {"s0001"}
    assert {*watch.state.windows["slice"].index} == {"s0000", "s0001", "s0002", "s0003"}
    last = watch.words[-1]
    assert (last.pane, last.slice_) == (49, "s0001")


def test_newcomers_get_the_places_that_were_given_back() -> None:
    watch = Watching(config(max_slices=3), REFERENCES)
    watch.feed(stream(60, {0: [0, 1, 2], 10: [2, 3, 4]}))
    assert {*watch.state.windows["slice"].index} == {"s0002", "s0003", "s0004"}
    shared = [number for number, closed in enumerate(watch.closed) if closed.other]
    assert shared == list(range(10, shared[-1] + 1)), "until there is room they share what is no slice"
    assert 10 + SPAN - 2 <= shared[-1] <= 10 + SPAN + 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 80), st.sampled_from([1, 5, 200]), st.randoms(use_true_random=False))
def test_neither_batches_nor_restarts_matter(cut: int, size: int, chance: object) -> None:
    made = config()
    there = {5: [0, 1], 20: [3, 4], 31: [0, 1, 2], 45: []}
    messages = stream(60, there, change={4: Change(shift=2.0)})
    whole, parts = Watching(made, REFERENCES), Watching(made, REFERENCES)
    whole.feed(messages, 200)
    parts.feed(messages[:cut], size)
    parts.state = WatchState.from_state(made, unpack(pack(parts.state.to_state())))
    parts.feed(messages[cut:], size)
    assert parts.closed == whole.closed
    assert repr(parts.words) == repr(whole.words)
    assert pack(parts.state.to_state()) == pack(whole.state.to_state())
    assert min(closed.slices["slice"] for closed in whole.closed) < 6


@pytest.mark.parametrize("rule", ["drift", "step"])
def test_what_is_remembered_of_those_that_left_is_gone(rule: str) -> None:
    watch = Watching(config(), REFERENCES)
    watch.feed(stream(40, {10: [5]}))
    state = watch.state.rules[rule, "slice"]
    if isinstance(state, Mixture):
        assert state.slices == 1
        assert np.array(state.to_state()["log_r1"]).shape[0] == 1
    else:
        assert [i for i, _ in state.to_state()["seen"]] == [0]
    assert watch.state.windows["slice"].to_state()["slices"] == ["s0005"]
