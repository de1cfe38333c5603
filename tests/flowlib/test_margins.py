"""Margins: robust scales of single columns."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.margins import Margins
from flowlib.table import Table


def rows(n: int = 2_000, seed: int = 0) -> np.ndarray:
    g = np.random.default_rng(seed)
    return np.column_stack([g.standard_normal(n), np.exp(2 * g.standard_normal(n)), np.zeros(n)]).astype(np.float32)


def test_further_out_is_more_in_every_column_and_missing_is_nothing() -> None:
    margins = Margins.fit(rows())
    for j in range(2):
        x = np.tile(margins.centre, (5, 1))
        x[:, j] += margins.spread[j] * np.array([5, 10, 20, 1e6, 1e30])
        assert (np.diff(margins.of(x.astype(np.float32))) > 0).all()
    nothing = margins.of(np.array([[np.nan, np.nan, np.nan], [np.inf, np.nan, np.nan]], np.float32))
    assert nothing.tolist() == [0.0, 0.0]


def test_a_tenth_of_clustered_anomalies_hardly_moves_the_scales() -> None:
    clean, spoilt = rows(), rows()
    spoilt[:200, 0] = 50.0
    a, b = Margins.fit(clean), Margins.fit(spoilt)
    assert abs(a.centre[0] - b.centre[0]) < 0.2 * a.spread[0]
    assert b.spread[0] < 1.3 * a.spread[0]
    alone = spoilt * np.array([1, np.nan, np.nan], np.float32)
    assert b.of(alone[:200]).min() > b.of(alone[200:]).max()


def test_units_do_not_matter_and_constants_are_seen_to_move() -> None:
    x, scale = rows(), np.array([1e3, 1e-3, 7.0], np.float32)
    np.testing.assert_allclose(Margins.fit(x).of(x), Margins.fit(x * scale).of(x * scale), rtol=1e-3)
    moved = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 3.0]], np.float32)
    assert np.diff(Margins.fit(x).of(moved))[0] > 0


def test_state_comes_back_and_nonsense_is_refused() -> None:
    margins = Margins.fit(rows())
    again = Margins.from_state(margins.to_state())
    np.testing.assert_array_equal(again.of(rows(seed=1)), margins.of(rows(seed=1)))
    with pytest.raises(ValueError, match="positive"):
        Margins.from_state(margins.to_state() | {"spread": np.zeros(3)})


def test_a_row_has_the_same_bits_however_its_table_lies_in_memory() -> None:
    """Sums over rows of a table by columns would be added in another order than those of a single row."""
    x = np.random.default_rng(1).standard_normal((300, 20))
    margins, by_columns = Margins.fit(x.astype(np.float32)), Table.of(np.asfortranarray(x))
    alone = [margins.of(by_columns.span(i, i + 1).numeric)[0] for i in range(len(x))]
    np.testing.assert_array_equal(margins.of(by_columns.numeric), alone)
