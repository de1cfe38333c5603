"""Draws among ties: the same for a row wherever it is scored, uniform, and another with another key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowlib.table import Table
from flowlib.ties import MIDDLE, draws, key_for


def rows(n: int = 20_000) -> Table:
    """All of the same numbers, a second apart."""
    slices = np.array(["a", "b"] * (n // 2), dtype=object)
    return Table.of(np.zeros((n, 2)), slices=slices, time_ms=np.arange(n) * 1_000)


def test_they_are_uniform_and_unrelated_to_their_neighbours() -> None:
    u = draws(rows(), 7)
    assert ((u > 0) & (u < 1)).all()
    counts = np.histogram(u, 20, (0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 43.8  # χ² with 19 degrees of freedom, 99.9 %
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03


def test_a_row_has_its_draw_in_any_batch() -> None:
    table = rows(1_000)
    u, order = draws(table, 7), np.random.default_rng(0).permutation(1_000)
    np.testing.assert_array_equal(draws(table.take(order), 7), u[order])
    np.testing.assert_array_equal(draws(table.span(5, 6), 7), u[5:6])


def test_each_of_time_numbers_slice_and_key_makes_another() -> None:
    table = rows(1_000)
    u = draws(table, 7)
    others = [
        draws(table, 8),
        draws(replace(table, time_ms=table.time_ms + 1), 7),
        draws(replace(table, slices=np.roll(table.slices, 1)), 7),
        draws(table.with_numeric(table.numeric + np.float32(1)), 7),
        draws(table.with_numeric(table.numeric + np.array([0, np.nan], np.float32)), 7),
    ]
    for other in others:
        assert (other != u).all()


def test_zeros_and_gaps_have_one_form() -> None:
    table = rows(10)
    np.testing.assert_array_equal(draws(table.with_numeric(-table.numeric), 7), draws(table, 7))
    gaps = [table.with_numeric(np.full((10, 2), value, np.float32)) for value in (np.nan, -np.nan)]
    np.testing.assert_array_equal(draws(gaps[0], 7), draws(gaps[1], 7))


def test_rows_without_times_get_the_middle() -> None:
    assert key_for(Table.of(np.zeros((5, 1))), 3) == key_for(rows(0), 3) == MIDDLE
    assert key_for(rows(10), 3) not in (MIDDLE, key_for(rows(10), 4))
    assert draws(rows(10), MIDDLE).tolist() == [0.5] * 10
