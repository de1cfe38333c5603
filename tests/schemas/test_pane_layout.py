"""The layout of a pane's row: columns go over the wire and come back, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib import calibration
from schemas import pane_layout
from schemas.pane_layout import PIT_BINS, PaneLayout, fixed_square, fixed_sum

LAYOUT = PaneLayout(2)


def test_models_and_panes_count_the_pit_in_the_same_bins() -> None:
    assert pane_layout.PIT_BINS == calibration.PIT_BINS


@given(st.lists(st.integers(0, 4), max_size=6))
def test_blocks_are_the_rows_cut_up(sizes: list[int]) -> None:
    rows = np.arange(sum(sizes) * LAYOUT.width, dtype=np.int64).reshape(sum(sizes), LAYOUT.width)
    blocks = LAYOUT.encode_blocks(rows, sizes)
    assert len(blocks) == len(sizes)
    parts = [LAYOUT.decode(block, size) for block, size in zip(blocks, sizes, strict=True)]
    assert np.array_equal(np.concatenate([rows[:0], *parts]), rows)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 2**32))
def test_layout_round_trip(d: int, m: int, seed: int) -> None:
    layout = PaneLayout(d)
    rows = np.random.default_rng(seed).integers(-(2**62), 2**62, (m, layout.width))
    assert np.array_equal(layout.decode(layout.encode(rows), m), rows)
    joined = np.concatenate([layout.get(rows, name).reshape(m, width) for name, width in layout.shapes.items()], axis=1)
    assert np.array_equal(joined, rows)
    assert layout.pit(rows).shape == (m, d, PIT_BINS)
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
