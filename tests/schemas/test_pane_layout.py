"""The layout of a pane's row: columns go over the wire and come back, and damage is noticed."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib import channels
from schemas import pane_layout
from schemas.pane_layout import NO_HIGH, NO_LOW, Ints, PaneLayout, fixed_square, fixed_sum, log_prob_mean_sd

LAYOUT = PaneLayout(2, 1)


def test_models_and_panes_count_in_the_same_units() -> None:
    """The contract imports nothing of flowlib, and says the same."""
    for name in ("UNIT", "GROUPS", "PAIRS_MAX"):
        assert getattr(pane_layout, name) == getattr(channels, name)
    for d in range(1, 40):
        assert PaneLayout(d).pairs == channels.pairs_of(d)


def test_every_code_of_a_value_lies_between_those_of_no_value() -> None:
    ends = np.array([[-np.inf, np.inf, np.finfo(np.float64).min, np.finfo(np.float64).max]])
    codes = channels.value_codes(ends)
    assert codes.max() < NO_LOW
    assert codes.min() > NO_HIGH


def test_columns_without_a_model_come_first() -> None:
    names = list(LAYOUT.shapes)
    assert names[: names.index("scored")] == ["seen", "late", "unscorable", "coerced", "missing", "low", "high"]
    assert LAYOUT.columns["scored"].start == LAYOUT.model_free


ROWS = st.lists(st.lists(st.integers(-1_000, 1_000), min_size=LAYOUT.width, max_size=LAYOUT.width), max_size=12)


def by_hand(rows: list[list[int]]) -> list[int]:
    """Merged value by value."""
    kinds = {i: name for name, place in LAYOUT.columns.items() for i in range(place.start, place.stop)}
    empty, merge = {"low": NO_LOW, "high": NO_HIGH}, {"low": min, "high": max}
    return [
        merge[kinds[i]](row[i] for row in [*rows, [empty[kinds[i]]] * LAYOUT.width])
        if kinds[i] in merge
        else sum(row[i] for row in rows)
        for i in range(LAYOUT.width)
    ]


def one(rows: list[list[int]]) -> Ints:
    """Merged row by row, ``(1, w)``."""
    out = LAYOUT.blank(1)
    for row in rows:
        LAYOUT.merge(out, np.array([0]), np.array([row], dtype=np.int64))
    return out


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 12))
def test_merging_is_associative_and_commutative(rows: list[list[int]], chance: random.Random, cut: int) -> None:
    expected = by_hand(rows)
    assert one(rows)[0].tolist() == expected
    other = list(rows)
    chance.shuffle(other)
    parts = one(other[:cut]).tolist() + one(other[cut:]).tolist()
    assert one(parts)[0].tolist() == one(parts[::-1])[0].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 2**32))
def test_sorted_runs_merge_as_their_groups_do(groups: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-1_000, 1_000, (len(groups), LAYOUT.width))
    order = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(np.sort(groups), prepend=-1))
    merged = LAYOUT.merge_sorted(rows[order], first)
    expected = [
        by_hand([row for row, g in zip(rows.tolist(), groups, strict=True) if g == k]) for k in sorted({*groups})
    ]
    assert merged.tolist() == expected


def test_distinct_places_are_merged_and_the_others_left() -> None:
    rows = LAYOUT.blank(3)
    LAYOUT.merge(rows, np.array([2, 0]), np.array([[7] * LAYOUT.width, [5] * LAYOUT.width]))
    assert rows.tolist() == [[5] * LAYOUT.width, LAYOUT.blank(1)[0].tolist(), [7] * LAYOUT.width]


def test_log_likelihoods_have_a_mean_and_a_deviation() -> None:
    values = np.array([-3.0, -5.0, 1.0])
    sums = (np.array([3, 0]), np.array([fixed_sum(values).sum(), 0]), np.array([fixed_square(values).sum(), 0]))
    mean, sd = log_prob_mean_sd(*sums)
    assert (mean[0], sd[0]) == pytest.approx((values.mean(), values.std()), abs=1e-3)
    assert np.isnan(mean[1])
    assert np.isnan(sd[1])


@given(st.lists(st.integers(0, 4), max_size=6))
def test_blocks_are_the_rows_cut_up(sizes: list[int]) -> None:
    rows = np.arange(sum(sizes) * LAYOUT.width, dtype=np.int64).reshape(sum(sizes), LAYOUT.width)
    blocks = LAYOUT.encode_blocks(rows, sizes)
    assert len(blocks) == len(sizes)
    parts = [LAYOUT.decode(block, size) for block, size in zip(blocks, sizes, strict=True)]
    assert np.array_equal(np.concatenate([rows[:0], *parts]), rows)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2), st.integers(0, 6), st.integers(0, 2**32))
def test_layout_round_trip(d: int, k: int, m: int, seed: int) -> None:
    layout = PaneLayout(d, k)
    rows = np.random.default_rng(seed).integers(-(2**62), 2**62, (m, layout.width))
    assert np.array_equal(layout.decode(layout.encode(rows), m), rows)
    joined = np.concatenate([layout.get(rows, name).reshape(m, width) for name, width in layout.shapes.items()], axis=1)
    assert np.array_equal(joined, rows)
    assert layout.get(rows, "group").shape == (m, k * channels.GROUPS)
    assert layout.get(rows, "missing").shape == (m, d)
    assert layout.get(rows, "seen").shape == (m,)


@pytest.mark.parametrize("name", LAYOUT.shapes)
@pytest.mark.parametrize("damage", [b"", b"\0" * 8, b"\0" * 7])
def test_columns_of_the_wrong_size_are_refused(name: str, damage: bytes) -> None:
    columns = LAYOUT.encode(np.zeros((3, LAYOUT.width), dtype=np.int64))
    with pytest.raises(ValueError, match=r"column|buffer"):
        LAYOUT.decode({**columns, name: columns[name] + damage if damage else b""}, 3)
    with pytest.raises(ValueError, match=name):
        LAYOUT.decode({k: v for k, v in columns.items() if k != name}, 3)
    with pytest.raises(ValueError, match="expected 2"):
        LAYOUT.decode(columns, 2)


def test_fixed_point_rounds_to_the_nearest() -> None:
    assert fixed_sum(np.array([1.0, -0.5, 2**-17 * 1.5, 2**-18])).tolist() == [65_536, -32_768, 1, 0]
    assert fixed_square(np.array([2.0, 0.5])).tolist() == [1_024, 64]
