"""Values that several rows share: a draw is one of them as often as rows were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowlib.density import Density
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.grids import Grids
from flowlib.encoder.seen import ALL_MAX, VALUES_MAX, Seen
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.evaluation import two_sample
from flowlib.sampling import draw_given
from flowlib.table import Table
from tests.flowlib.conftest import trained

STRAIGHT = EncoderConfig(maps=("standard",))


def drawn(x: np.ndarray, given: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draws of a flow, as raw values, as they are settled by an encoder of the rows."""
    encoder = Encoder.fit(FeatureSpec(("x",)), Table.of(x[:, None]), STRAIGHT)
    features, values = encoder.numbers(given[:, None])[0], encoder.grids.seen.table()
    cells = encoder.cells(Table.of(values))
    return encoder.grids.settled(
        given[:, None], encoder.resolution, np.random.default_rng(seed), features.astype(np.float32), cells
    )[:, 0]


def test_values_that_are_rounded_to_two_digits_come_again_and_none_between_them() -> None:
    rng = np.random.default_rng(1)
    level = np.exp(rng.normal(0.5, 1.2, 5_000))
    digits = 10.0 ** (np.floor(np.log10(level)) - 1)
    x = np.round(level / digits) * digits
    settled = drawn(x, level + 0.1 * x.std() * rng.standard_normal(5_000))
    values, rows = np.unique(x, return_counts=True)
    seen = Seen.fit([x])
    assert np.isin(settled, seen.value).mean() == pytest.approx(seen.rows.sum() / 5_000, abs=0.05)
    for value in values[np.argsort(-rows)[:5]]:
        assert np.mean(settled == value) == pytest.approx(np.mean(x == value), abs=0.02)


def test_a_value_that_many_rows_have_among_others_that_none_share() -> None:
    rng = np.random.default_rng(2)
    x = np.where(rng.random(6_000) < 0.3, -1.0, rng.standard_normal(6_000))
    seen = Seen.fit([x])
    assert (seen.value.tolist(), seen.rows.sum() + seen.others[0]) == ([-1.0], 6_000)
    settled = drawn(x, x + 0.1 * x.std() * rng.standard_normal(6_000))
    assert np.mean(settled == -1.0) == pytest.approx(0.3, abs=0.04)
    assert len(np.unique(settled)) > 3_500


def test_a_draw_far_from_all_that_was_seen_twice_is_none_of_it() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.integers(0, 5, 950) / 1.0, rng.uniform(0, 400, 50)])
    far = drawn(x, np.linspace(100, 300, 200))
    assert far.min() > 90
    assert not np.isin(far, [0, 1, 2, 3, 4]).any()


def test_only_so_many_values_of_a_column_are_kept_and_none_of_one_without_ties() -> None:
    rng = np.random.default_rng(4)
    whole, smooth = rng.integers(0, 400, 8_000).astype(float), rng.standard_normal(8_000)
    copies = np.repeat(rng.standard_normal(4_000), 2)
    seen = Seen.fit([whole, smooth, copies, np.zeros(0)])
    assert np.bincount(seen.column, minlength=4).tolist() == [VALUES_MAX, 0, 0, 0]
    assert seen.others.tolist()[1:] == [8_000, 8_000, 0]
    assert seen.table().shape == (VALUES_MAX, 4)


def test_most_values_on_a_coarse_grid_stay_as_many() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.poisson(8, 1_800) + 1.0, rng.integers(1, 80, 200) * 0.2856])
    grids = Grids.fit([x], np.array([4e-4]))
    assert grids.coarse[0] == 1.0
    settled = drawn(x, np.repeat(x, 2) + 0.1 * x.std() * rng.standard_normal(4_000))
    assert np.mean(settled == np.round(settled)) == pytest.approx(0.9, abs=0.02)


def test_draws_of_columns_with_few_values_cannot_be_told_by_them() -> None:
    """Concentrations to two digits, a count, and a gauge that mostly reads 0: plain draws have .85."""
    rng = np.random.default_rng(6)
    level = rng.standard_normal((6_000, 1))
    hormone = np.exp(0.8 * level[:, 0] + 0.6 * rng.standard_normal(6_000))
    digits = 10.0 ** (np.floor(np.log10(hormone)) - 1)
    x = np.column_stack([np.round(hormone / digits) * digits, rng.poisson(np.exp(1 + 0.4 * level[:, 0]))])
    x = np.column_stack([x, np.where(rng.random(6_000) < 0.8, 0.0, np.round(rng.gamma(9.0, 3.0, 6_000), 1))])
    train, valid, held_out = (Table.of(x[start : start + 2_000]) for start in (0, 2_000, 4_000))
    settings = replace(trained(max_steps=250), encoder=STRAIGHT)
    fitted = Density.fit(FeatureSpec(("hormone", "count", "gauge")), train, valid, held_out, 0, settings)
    assert two_sample(fitted, held_out, np.arange(2_000) // 50)[0].value < 0.75
    again = draw_given(fitted.encoder, fitted.flow, held_out, 1)
    np.testing.assert_array_equal(again.numeric, fitted.sample_given(held_out, 1).numeric)
    assert np.mean(again.numeric[:, 2] == 0.0) == pytest.approx(0.8, abs=0.08)


def test_values_seen_travel_with_the_encoder_and_senseless_ones_are_refused() -> None:
    rows = Table.of(np.random.default_rng(7).integers(0, 9, (200, 2)).astype(float))
    meta, arrays = Encoder.fit(FeatureSpec(("x", "y")), rows).to_state()
    again, seen = Encoder.from_state(meta, arrays).grids.seen, Seen.fit(list(rows.numeric.T))
    for name, array in vars(seen).items():
        np.testing.assert_array_equal(getattr(again, name), array)
    m = len(seen.value)
    for name, wrong in (
        ("value", np.full(m, np.nan)),
        ("value", np.zeros(m, np.float32)),
        ("value", np.zeros((m, 1))),
        ("rows", np.zeros(m, np.int64)),
        ("rows", np.ones(m + 1, np.int64)),
        ("column", np.full(m, 2, np.int64)),
        ("column", seen.column[::-1].copy()),
        ("others", np.full(2, -1, np.int64)),
        ("others", np.zeros(3, np.int64)),
    ):
        with pytest.raises(ValueError, match="encoder: values seen"):
            Encoder.from_state(meta, arrays | {f"seen.{name}": wrong})


def test_of_many_columns_each_has_fewer_values() -> None:
    """A model of 4,096 columns is otherwise 25 MiB larger, of which no more than 64 are accepted."""
    x = np.repeat(np.arange(300.0), np.where(np.arange(300) < 16, 100, 2))
    for columns in (256, 4_096):
        seen = Seen.fit([x] * columns)
        assert np.bincount(seen.column).tolist() == [ALL_MAX // columns] * columns
