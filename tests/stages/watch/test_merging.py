"""Blocks of a final pane become one row a slice, whichever order and source partition they came in."""

from __future__ import annotations

import itertools

import numpy as np

from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock
from stream_app.stages.watch.merging import SlicingPane, kept_names, merge_blocks

LAYOUT = PaneLayout(1)


def block(rows: dict[str, int], model: str = "m", partition: int = 0) -> PaneBlock:
    """A block whose every column holds the number given for the slice."""
    values = np.array([[n] * LAYOUT.width for n in rows.values()], dtype=np.int64)
    return PaneBlock(
        stream="s",
        partition=partition,
        pane_start_ms=0,
        pane_end_ms=1,
        model_id=model,
        slicing="k",
        index=0,
        slices=list(rows),
        columns=LAYOUT.encode(values),
        top=[[] for _ in rows],
    )


def test_rows_of_a_slice_add_up_in_any_order() -> None:
    blocks = [block({"a": 1, "b": 2}), block({"b": 5}, partition=1), block({"c": 7, "a": 3}, partition=2)]
    for order in itertools.permutations(blocks):
        names, models, rows = merge_blocks(LAYOUT, list(order), {"a", "b", "c"})
        assert (names, models) == (["a", "b", "c"], ["m", "m", "m"])
        assert rows[:, 0].tolist() == [4, 7, 7]


def test_slices_without_windows_of_their_own_share_one() -> None:
    names, _, rows = merge_blocks(LAYOUT, [block({"a": 1, "b": 2, "c": 4})], {"b"})
    assert (names, rows[:, 0].tolist()) == ([OTHER, "b"], [5, 2])


def test_of_two_models_the_one_with_more_rows_keeps_its_likelihoods() -> None:
    names, models, rows = merge_blocks(LAYOUT, [block({"a": 9}, "new"), block({"a": 4}, "old", 1)], {"a"})
    assert (names, models) == (["a"], ["new"])
    free = LAYOUT.model_free
    assert set(rows[0, :free].tolist()) == {13}
    assert set(rows[0, free:].tolist()) == {9}


def test_known_names_stay_and_new_ones_come_in_order_as_long_as_there_is_room() -> None:
    blocks = [block({"z": 1, "b": 1}), block({"a": 1, "known": 1})]
    assert kept_names(blocks, {"known": 0, "gone": 1}, 3) == {"known", "a"}
    assert kept_names(blocks, {"known": 0, "gone": 1}, 2) == {"known"}
    assert kept_names(blocks, {}, 10) == {"a", "b", "known", "z"}


def test_a_pane_in_another_order_keeps_its_slices_together() -> None:
    pane = SlicingPane("k", 0, 1, ["a", "b"], ["m", "n"], np.array([[1], [2]]))
    turned = pane.take(np.array([1, 0]))
    assert (turned.names, turned.models, turned.rows.tolist()) == (["b", "a"], ["n", "m"], [[2], [1]])
