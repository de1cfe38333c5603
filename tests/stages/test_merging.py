"""Blocks of a final pane become one row a slice, whichever order and source partition they came in."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock
from stream_app.stages.merging import SlicingPanes, kept_names, merge_blocks

LAYOUT = PaneLayout(1)
SEEN, LOW, HIGH = (LAYOUT.columns[name].start for name in ("seen", "low", "high"))


def block(rows: dict[str, int], model: str = "m", partition: int = 0, index: int = 0) -> PaneBlock:
    """A block whose every column holds the number given for the slice."""
    values = np.array([[n] * LAYOUT.width for n in rows.values()], dtype=np.int64).reshape(-1, LAYOUT.width)
    return PaneBlock(
        stream="s",
        partition=partition,
        pane_start_ms=0,
        pane_end_ms=1,
        model_id=model,
        slicing="k",
        index=index,
        slices=list(rows),
        columns=LAYOUT.encode(values),
    )


def merge(blocks: list[PaneBlock], kept: set[str]) -> SlicingPanes:
    return merge_blocks(LAYOUT, "k", [(0, blocks)], kept)


def test_rows_of_a_slice_add_up_in_any_order() -> None:
    blocks = [block({"a": 1, "b": 2}), block({"b": 5}, partition=1), block({"c": 7, "a": 3}, partition=2)]
    for order in itertools.permutations(blocks):
        pane = merge(list(order), {"a", "b", "c"})
        assert (pane.slicing, pane.starts_ms, pane.edges) == ("k", [0], [0, 3])
        assert (pane.names, pane.models) == (["a", "b", "c"], ["m", "m", "m"])
        assert pane.rows[:, SEEN].tolist() == [4, 7, 7]
        assert pane.rows[:, LOW].tolist() == [1, 2, 7], "the smallest"
        assert pane.rows[:, HIGH].tolist() == [3, 5, 7], "the largest"


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from("mn"), st.dictionaries(st.sampled_from("abcde"), st.integers(1, 99), min_size=1, max_size=5)
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(ENTRIES, st.randoms(use_true_random=False), st.sets(st.sampled_from("abcde")))
def test_any_blocks_in_any_order_against_a_sum_by_hand(
    entries: list[tuple[str, dict[str, int]]], chance: random.Random, kept: set[str]
) -> None:
    of_model: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for model, rows in entries:
        for name, n in rows.items():
            name = name if name in kept else OTHER
            of_model[name, model]["sum"] += n
            of_model[name, model]["low"] = min(of_model[name, model]["low"] or n, n)
            of_model[name, model]["high"] = max(of_model[name, model]["high"], n)
    blocks = [block(rows, model, partition) for partition, (model, rows) in enumerate(entries)]
    chance.shuffle(blocks)
    pane = merge(blocks, kept)
    others = {model: c["sum"] for (name, model), c in of_model.items() if name == OTHER}
    assert [(model, int(row[SEEN])) for model, row in pane.others[0]] == sorted(others.items())
    of_model = defaultdict(Counter, {key: counted for key, counted in of_model.items() if key[0] != OTHER})
    assert pane.names == sorted({name for name, _ in of_model})
    for i, name in enumerate(pane.names):
        own = {model: counted for (of, model), counted in of_model.items() if of == name}
        assert pane.rows[i, SEEN] == sum(counted["sum"] for counted in own.values())
        assert pane.rows[i, LOW] == min(counted["low"] for counted in own.values())
        assert pane.rows[i, HIGH] == max(counted["high"] for counted in own.values())
        assert pane.rows[i, LAYOUT.model_free] == own[pane.models[i]]["sum"], "never summed over two models"
        assert own[pane.models[i]]["sum"] == max(counted["sum"] for counted in own.values())
    parts = {
        (pane.names[at], part.model_id): int(part.rows[i, SEEN]) for part in pane.parts for i, at in enumerate(part.at)
    }
    assert parts == {k: c["sum"] for k, c in of_model.items()}
    assert [part.model_id for part in pane.parts] == sorted({model for _, model in of_model})


def test_slices_without_windows_of_their_own_share_one() -> None:
    blocks = [block({"a": 1, "b": 2, "c": 4}), block({OTHER: 8, "a": 16}, partition=1), block({OTHER: 32}, "new", 2)]
    pane = merge(blocks, {"b"})
    assert (pane.names, pane.rows[:, SEEN].tolist()) == (["b"], [2])
    assert [(model, row[SEEN]) for model, row in pane.others[0]] == [(pane.models[0], 29), ("new", 32)]


def test_what_they_share_is_a_slice_where_it_is_kept() -> None:
    pane = merge([block({OTHER: 8}), block({OTHER: 1}, partition=1)], {OTHER})
    assert (pane.names, pane.rows[:, SEEN].tolist(), pane.others) == ([OTHER], [9], [[]])


def test_of_two_models_the_one_with_more_rows_keeps_its_sums_and_evidence_is_made_of_each() -> None:
    pane = merge([block({"a": 9, "b": 1}, "new"), block({"a": 4}, "old", 1)], {"a", "b"})
    assert (pane.names, pane.models) == (["a", "b"], ["new", "new"])
    free = LAYOUT.model_free
    sums = [i for i in range(free) if i not in (LOW, HIGH)]
    assert set(pane.rows[0, sums].tolist()) == {13}
    assert set(pane.rows[0, free:].tolist()) == {9}
    assert [(p.model_id, p.at.tolist(), p.rows[:, SEEN].tolist()) for p in pane.parts] == [
        ("new", [0, 1], [9, 1]),
        ("old", [0], [4]),
    ]


def test_a_pane_without_blocks_has_no_slices() -> None:
    pane = merge([], set())
    assert (pane.names, pane.models, pane.parts, pane.rows.shape) == ([], [], [], (0, LAYOUT.width))


def test_known_names_stay_and_new_ones_come_in_order_as_long_as_there_is_room() -> None:
    blocks = [block({"z": 1, "b": 1}), block({"a": 1, "known": 1})]
    assert kept_names(blocks, {"known": 0, "gone": 1}, 3) == {"known", "a"}
    assert kept_names(blocks, {"known": 0, "gone": 1}, 2) == {"known"}
    assert kept_names(blocks, {}, 10) == {"a", "b", "known", "z"}
    assert kept_names(blocks, {"known": 0, "gone": 1}, 3, {"z"}) == {"known", "z"}, "the model knows it"
