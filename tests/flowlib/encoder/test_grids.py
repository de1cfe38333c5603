"""The values that a column can take: coarse grids among finer ones, ends, and what is settled on them."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.encoder.encoder import Encoder
from flowlib.encoder.grids import Grids
from flowlib.encoder.spec import FeatureSpec
from flowlib.table import Table

RNG = np.random.default_rng(20)


def one(x: np.ndarray, step: float) -> Grids:
    return Grids.fit([x], np.array([step]))


def test_most_whole_numbers_among_converted_units_are_a_coarse_grid() -> None:
    whole, parts = RNG.poisson(20, 900) + 1.0, RNG.integers(1, 60, 100) * 0.2856
    grids = one(np.concatenate([whole, parts]), 4e-4)
    assert grids.coarse[0] == 1.0
    assert grids.share[0] == pytest.approx(0.9, abs=0.02)
    drawn = grids.settled(RNG.normal(20, 4, (5_000, 1)), np.array([4e-4]), RNG)
    assert np.mean(drawn == np.round(drawn)) == pytest.approx(0.9, abs=0.02)
    assert (drawn.min(), drawn.max()) >= (grids.low[0], 0.0)
    assert drawn.max() <= grids.high[0]


@pytest.mark.parametrize("step", [1.0, 0.1, 0.5, 100.0, 0.25])
def test_one_grid_is_one_grid_and_its_values_are_written_as_they_were(step: float) -> None:
    values = RNG.integers(-40, 40, 2_000) * step if step >= 1 else RNG.integers(-40, 40, 2_000) / round(1 / step)
    grids = one(values, step)
    assert grids.coarse[0] == 0.0
    drawn = grids.settled(RNG.normal(0, 10 * step, (500, 1)), np.array([step]), RNG)
    assert np.isin(drawn[np.abs(drawn) < 20 * step], values).all()


def test_a_grid_that_does_not_begin_at_nought() -> None:
    values = RNG.integers(0, 30, 500) + 0.5
    drawn = one(values, 1.0).settled(RNG.normal(15, 4, (300, 1)), np.array([1.0]), RNG)
    assert np.isin(drawn, values).all()


def test_a_value_that_most_rows_have_makes_no_grid_of_the_others() -> None:
    rain = np.where(RNG.random(4_000) < 0.95, 0.0, np.round(RNG.gamma(1, 3, 4_000), 1))
    assert one(rain, 0.1).coarse[0] == 0.0


def test_columns_without_a_grid_keep_their_digits_and_gaps_stay_gaps() -> None:
    x = RNG.standard_normal(1_000)
    given = np.array([[0.123456789], [np.nan], [99.0]])
    drawn = one(x, 0.0).settled(given, np.zeros(1), RNG)
    assert drawn[0, 0] == given[0, 0]
    assert np.isnan(drawn[1, 0])
    assert drawn[2, 0] == x.max()
    empty = one(np.zeros(0), 0.0)
    np.testing.assert_array_equal(empty.settled(given, np.zeros(1), RNG), given)


def test_grids_travel_with_the_encoder_and_senseless_ones_are_refused() -> None:
    encoder = Encoder.fit(FeatureSpec(("x", "y")), Table.of(RNG.integers(0, 9, (200, 2)).astype(float)))
    meta, arrays = encoder.to_state()
    again = Encoder.from_state(meta, arrays).grids
    for name, array in vars(encoder.grids).items():
        np.testing.assert_array_equal(getattr(again, name), array)
    for name, wrong in (("share", 1.5), ("coarse", -1.0), ("low", 1e9), ("origin", np.nan)):
        with pytest.raises(ValueError, match="encoder: "):
            Encoder.from_state(meta, arrays | {f"grid.{name}": np.full(2, wrong)})
    with pytest.raises(ValueError, match="one for each column"):
        Encoder.from_state(meta, arrays | {"grid.low": np.zeros(3)})
