"""Evidence of all slices together: seen where none is alone, and the same whatever comes with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_app.stages.detection.detectors import GroupSums, Part
from stream_app.stages.detection.detectors.simulated import Change, World, some, with_events
from tests.stages.detection.mixtures import MOVED, WORLD, features, grouped, mixture, take, word
from tests.stages.watch.blocks import DRIFT


def test_all_slices_together_are_seen_where_none_is_alone() -> None:
    world = World(slices=40, rate=1.0, seed=5)
    made, group = mixture(DRIFT, world), mixture(DRIFT, world)
    statistics = grouped(made, group, world.parts(30, 8, {i: Change(shift=0.6) for i in range(40)}))
    assert max(statistics) > 1_000 > made.statistics().max()
    take(group, [], [], 1)
    said = word(group.settle(), 0)
    assert said is not None
    assert features(group, said, world) == ("x0",)
    assert (said.events, said.since_ms > 0) == (0, True)


def test_what_is_followed_is_not_found_again_in_the_group() -> None:
    made, group = mixture(), mixture()
    statistics = grouped(made, group, WORLD.parts(60, 7, {MOVED: Change(shift=6.0)}))
    assert made.followed.tolist() == [MOVED]
    assert max(statistics) < 1_000


def test_rules_beside_each_other_choose_their_own_slices_of_the_group() -> None:
    """One rule follows a slice, another one does not: the group of each leaves out its own."""
    change = {MOVED: Change(shift=3.0)}
    alone = grouped(mixture(floor=1e12), mixture(floor=1e12), WORLD.parts(10, 7, change))
    eager, patient, group, beside = mixture(floor=50.0), mixture(floor=1e12), mixture(floor=1e12), []
    for part in WORLD.parts(10, 7, change):
        take(eager, [with_events(part)], [part], 5)
        assert eager.group_sums()
        eager.settle()
        beside += grouped(patient, group, [part])
    assert beside == alone


def test_sums_of_a_pane_are_the_same_however_many_panes_come_with_it() -> None:
    single, many = mixture(), mixture()
    parts = [with_events(part) for part in WORLD.parts(12, 7, {MOVED: Change(shift=3.0)})]
    joined = [
        np.concatenate([getattr(part, name) for part in parts]) for name in ("start_ms", "known", "slices", "rows")
    ]
    start_ms, known, slices, rows = joined
    edges = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
    whole = Part(WORLD.layout, start_ms, parts[0].reference, known, slices, rows, edges)
    expected, got = [], []
    for part in parts:
        take(single, [part], [], 5)
        expected.append((*single.group_sums(), single.settle().columns.encode()))
    for _ in many.update([whole], [], 5):
        got.append((*many.group_sums(), many.settle().columns.encode()))
    assert repr(got) == repr(expected)
    assert len(many.followed), "from some pane on the sums leave a slice out"


def test_sums_over_many_slices_are_the_same_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of a pane are, whichever panes are gone through with it."""
    world, rng = World(slices=40, rate=6.0, seed=8), np.random.default_rng(1)
    alone = [with_events(part) for part in world.parts(3, 0)]
    alone[1] = some(alone[1], np.arange(5))
    chosen, sums = np.flatnonzero(rng.random(len(alone[0].rows)) < 0.7), []
    for piece in (1 << 20, 7):
        monkeypatch.setattr("stream_app.stages.detection.detectors.base.PIECE", piece)
        sums.append(parts_of(alone[0].sums(chosen)))
    assert sums[0] == sums[1]
    names = ("start_ms", "known", "slices", "rows")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in alone]) for name in names}
    edges = [0, *np.cumsum([len(part.rows) for part in alone]).tolist()]
    together = replace(alone[0], **columns, edges=edges)
    of_panes = [parts_of(one) for one in together.sums_of_panes() if one]
    assert of_panes == [parts_of(one) for part in alone for one in part.sums_of_panes() if one]


def parts_of(sums: GroupSums) -> list[list[float]]:
    return [sums.events.tolist(), sums.deviations.tolist(), sums.unknown.tolist()]
